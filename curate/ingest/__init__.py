"""Files and manifests become clips."""
