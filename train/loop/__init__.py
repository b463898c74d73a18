"""The training run: steps, checkpoints, validation, demos."""
