"""Damage to music of a known kind and strength: what scorers are taught and measured with."""
