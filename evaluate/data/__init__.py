"""Sets of sounds and prompts, paired by id."""
