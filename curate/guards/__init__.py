"""Guards: reasons to refuse a text, each a small rule."""
