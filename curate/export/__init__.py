"""What leaves: shards with audio, and the dataset card."""
