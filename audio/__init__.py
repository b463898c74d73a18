"""Decoding, windows, signal measurements and degradations. Imports `schemas` alone."""
