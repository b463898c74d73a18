"""Figures of the embedded models, on music and captions that they were not trained on."""
