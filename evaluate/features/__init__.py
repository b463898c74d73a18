"""What models make of sounds and texts, and the cache that keeps it."""
