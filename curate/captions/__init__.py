"""Captions: facts, a generated text, the check against the audio, the merge, the choice."""
