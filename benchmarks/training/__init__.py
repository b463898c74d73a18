"""Figures of the trainer and the codec, and the proof that a level has an audible effect."""
