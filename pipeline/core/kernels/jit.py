"""How every kernel is compiled: without the GIL, and cached on disk so that only the first start waits."""

from numba import njit

kernel = njit(nogil=True, cache=True)
"""Decorator for kernels: arrays and scalars in, arrays out."""
