"""What measures the product: figures, chaos, proofs. Not in the wheel."""
