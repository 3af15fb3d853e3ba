"""The cache of compiled kernels: an old version of anything that a kernel is made of must not live on in it."""

import ast
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.core.kernels import jit

Edit = Callable[[str, str], str]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Write kernel files; gives the cache folder of ``caller``, which imports ``middle``, which imports ``leaf``."""
    imports = "from pipeline.core.kernels.{} import something\n"
    texts = {"caller": imports.format("middle"), "middle": imports.format("leaf"), "leaf": "", "stranger": ""}
    monkeypatch.setattr(jit, "_FOLDER", tmp_path)

    def write(name: str, text: str) -> str:
        texts[name] += text
        for each, content in texts.items():
            (tmp_path / f"{each}.py").write_text(content)
        jit.sources.cache_clear()
        jit._cache_folder.cache_clear()
        return jit._cache_folder("caller")

    return write


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    jit.sources.cache_clear()
    jit._cache_folder.cache_clear()


@pytest.mark.parametrize("name", ["caller", "middle", "leaf"])
def test_whatever_a_kernel_is_made_of_gives_it_another_cache(edit: Edit, name: str) -> None:
    before = edit("leaf", "")
    assert edit(name, "# changed\n") != before


def test_other_files_leave_its_cache_alone(edit: Edit) -> None:
    before = edit("leaf", "")
    assert edit("stranger", "# changed\n") == before


def test_every_import_of_a_kernel_file_is_found() -> None:
    folder = Path(jit.__file__).parent
    for file in folder.glob("*.py"):
        imported = {
            str(node.module).rpartition(".")[2]
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline.core.kernels.")
        }
        assert imported <= jit.sources(file.stem), file


def test_an_installation_that_cannot_be_written_to_uses_the_users_cache(
    edit: Edit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "__pycache__").write_text("in the way of every folder here")
    assert edit("leaf", "").startswith(str(tmp_path / "home" / ".cache" / "driftline" / "kernels" / "caller-"))


def test_modules_imported_side_by_side_keep_to_their_own_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba's setting is one for all threads: kernels went to each other's folders, or to the working directory."""
    seen: dict[str, set[str]] = {}
    together = threading.Barrier(2)

    def njit(**_options: object) -> Callable[[Callable[[], None]], Callable[[], None]]:
        def compiled(function: Callable[[], None]) -> Callable[[], None]:
            with suppress(threading.BrokenBarrierError):
                together.wait(0.2)  # both would be here, if they were let
            seen.setdefault(function.__module__, set()).add(jit._settings.CACHE_DIR)
            return function

        return compiled

    monkeypatch.setattr(jit, "njit", njit)
    monkeypatch.setattr(jit, "_cache_folder", lambda name: f"/{name}")
    monkeypatch.setattr(jit._settings, "CACHE_DIR", "")

    def imported(name: str) -> None:
        def function() -> None: ...

        function.__module__ = f"pipeline.core.kernels.{name}"
        for _ in range(3):
            jit.kernel(function)

    threads = [threading.Thread(target=imported, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"pipeline.core.kernels.one": {"/one"}, "pipeline.core.kernels.other": {"/other"}}
    assert jit._settings.CACHE_DIR == ""
