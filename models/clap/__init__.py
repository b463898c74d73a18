"""Audio-text models: sounds and captions in one space."""
