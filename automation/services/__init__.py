"""What automation writes: evaluations, cases, attempts, and the sweep behind them."""
