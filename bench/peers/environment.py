"""Python environments of the peers: none of their packages comes near the project's own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.peers.peer import MissingError, Say

HOME = Path(__file__).parents[2] / ".venv-peers"

_TIMEOUT_S = 1_800.0
_LAST_CHARACTERS = 1_500


def python_with(name: str, requirements: Sequence[str], say: Say) -> str:
    """A Python that has some packages, installed once.

    Args:
        name: the environment's folder in ``.venv-peers``.
        requirements: as pip takes them.
        say: told before anything slow.

    Returns:
        The path of its interpreter.

    Raises:
        MissingError: pip could not install them.
    """
    folder = HOME / name
    python, done = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join(requirements)
    if not done.exists() or done.read_text() != wanted:
        say(f"installing {', '.join(requirements)} into {folder} (once)")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *requirements])
        done.write_text(wanted)
    return str(python)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise MissingError(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-_LAST_CHARACTERS:]}")
