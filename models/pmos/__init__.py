"""p-MOS scorers: how good a sound is technically, 1 to 5."""
