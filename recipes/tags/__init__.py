"""How the thresholds of tags-mini are chosen."""
