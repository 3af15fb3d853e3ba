"""How every kernel is compiled: without the GIL, and cached on disk so that only the first start waits.

numba knows a cached kernel again by its own file alone, and would go on with an old version of what it calls in other
files, after an upgrade as well as while kernels are being written. So the cache of a file lies in a folder named after
the contents of that file and of all kernel files that it imports.
"""

import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from numba import config, njit
from numba.core.compiler_lock import global_compiler_lock

_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])

_FOLDER = Path(__file__).parent
_settings: Any = config  # it fills itself, no type checker knows with what
_IMPORT = re.compile(r"^from pipeline\.core\.kernels\.(\w+) import", re.MULTILINE)


@cache
def sources(name: str) -> frozenset[str]:
    """The kernel files that a file is made of.

    Args:
        name: of the file, without its ending.

    Returns:
        Its name and those of all that it imports, by whatever way.
    """
    imported = _IMPORT.findall((_FOLDER / f"{name}.py").read_text())
    return frozenset({name}).union(*map(sources, imported))


@cache
def _cache_folder(name: str) -> str:
    digest = sha256()
    for source in sorted(sources(name)):
        digest.update((_FOLDER / f"{source}.py").read_bytes())
    folder = _FOLDER / "__pycache__" / f"{name}-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # an installation that its user cannot write to has its kernels in the user's own cache
        return str(Path.home() / ".cache" / "driftline" / "kernels" / folder.name)
    return str(folder)


def _compiler(**options: Any) -> Callable[[_FunctionT], _FunctionT]:
    def compiled(function: _FunctionT) -> _FunctionT:
        # Modules may be imported side by side, and numba has one setting for all threads.
        with global_compiler_lock:
            chosen = _settings.CACHE_DIR
            if not chosen:
                _settings.CACHE_DIR = _cache_folder(function.__module__.rpartition(".")[2])
            try:
                compiled_function: _FunctionT = njit(nogil=True, cache=True, **options)(function)
                return compiled_function
            finally:
                _settings.CACHE_DIR = chosen

    return compiled


kernel = _compiler()
"""Decorator for kernels: arrays and scalars in, arrays out."""

lean_kernel = _compiler(_nrt=False)
"""The same for kernels that make no arrays: passing a tuple of arrays on then counts no references. Measured on the
join's, which call many small ones: a quarter of their time."""

inline_kernel = _compiler(_nrt=False, forceinline=True)
"""The same for small kernels that others call for every byte or cell: their bodies become part of their callers'."""
