"""The trainer: latents -> quality-aware masked diffusion transformer -> generation."""
