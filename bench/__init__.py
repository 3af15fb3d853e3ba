"""Benchmarks: ours beside a bare floor, in one run."""
