"""How our own weights are made, each again by one command. Not in the wheel."""
