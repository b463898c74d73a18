"""Taggers: words, tempo and key of a sound."""
