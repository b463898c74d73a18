"""What measures the product; not in the wheel.

Beside this file: `figures` writes figures/*.json, `quote` brings documents up to them, `house` measures
the code itself. Each folder holds the benchmarks of one room of the product, and what they share.
"""
