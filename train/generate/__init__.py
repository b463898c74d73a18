"""From prompts to sounds."""
