"""Weights of the class that the authors released."""
