"""Benchmarks: ratios of ours against a named peer in the same run. ``make bench``, ``make bench ONLY=U1``."""
