"""How codec-mini is made."""
