"""Numba kernels: arrays and scalars in, arrays out. The only place that imports numba."""
