"""Figures of the evaluator, and the simulations behind them."""
