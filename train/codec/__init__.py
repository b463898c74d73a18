"""Codecs: wave to latent and back; text encoders."""
