"""The masked diffusion transformer."""
