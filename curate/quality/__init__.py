"""Scores become levels, levels and scores become decisions."""
