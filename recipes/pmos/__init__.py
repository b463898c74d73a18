"""How pmos-mini and pmos-mini-16k are made."""
