"""Makes the trainer's own weights, and its figures."""
