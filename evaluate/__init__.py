"""Evaluation: FAD, KAD, KL, IS, CLAP score and p-MOS, each with its protocol and its interval."""
