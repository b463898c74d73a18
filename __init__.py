"""qamdt: quality-aware data curation, training and evaluation for text-to-music."""

__version__ = "0.1.0"
