"""Figures of the code itself: imports, sizes, words, the time of `--help`, the test suite."""
