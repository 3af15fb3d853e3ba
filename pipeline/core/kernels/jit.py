"""How every kernel is compiled: without the GIL, and cached on disk so that only the first start waits."""

from numba import njit

kernel = njit(nogil=True, cache=True)
"""Decorator for kernels: arrays and scalars in, arrays out."""

lean_kernel = njit(nogil=True, cache=True, _nrt=False)  # type: ignore[call-overload] # of the options it does not type
"""The same for kernels that make no arrays: passing a tuple of arrays on then counts no references. Measured on the
join's, which call many small ones: a quarter of their time."""

inline_kernel = njit(nogil=True, cache=True, _nrt=False, forceinline=True)  # type: ignore[call-overload] # as above
"""The same for small kernels that others call for every byte or cell: their bodies are copied into the callers."""
