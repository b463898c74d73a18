"""How clap-mini is made."""
