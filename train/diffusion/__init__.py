"""The diffusion process: objective, guidance, solvers, windows."""
