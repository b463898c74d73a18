"""The formulas: FAD, KAD, KL, IS, CLAP score; their intervals."""
