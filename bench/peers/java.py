"""What Java peers need: a JDK, Maven, and the jars that Maven makes and fetches, kept in the user's cache folder."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from bench.peers.peer import MissingError, Say
from pipeline.kafka_jars import cache_folder

_TIMEOUT_S = 600.0
_LAST_CHARACTERS = 1_500


def java() -> str:
    """The java beside the JDK's compiler."""
    return _tool("java")


def built(name: str, source: Path, say: Say) -> list[Path]:
    """The class path of a Maven project, built once for each state of its sources.

    Args:
        name: for the cache folder.
        source: the project's folder.
        say: told before anything slow.

    Returns:
        Its jar, where it makes one, and all jars that it needs.

    Raises:
        MissingError: no JDK or no Maven, or Maven could not build.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    contents = b"".join(str(path.relative_to(source)).encode() + path.read_bytes() for path in files)
    home = cache_folder() / f"bench-{name}-{hashlib.sha256(contents).hexdigest()[:12]}"
    if not home.exists():
        _tool("javac")
        say(f"building {name} with Maven (once)")
        staging = home.with_name(f"{home.name}.staging")
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(source, staging)
        _package(staging)
        staging.rename(home)
    return [*(home / "target").glob("*.jar"), *(home / "target" / "dependency").glob("*.jar")]


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingError(f"{name} is not installed: it needs a JDK (17 or later) and Maven")
    return path


def _package(folder: Path) -> None:
    command = [_tool("mvn"), "--batch-mode", "--quiet", "package"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise MissingError(f"Maven failed: {(done.stdout + done.stderr).strip()[-_LAST_CHARACTERS:]}")
