"""Where Apache Kafka's jars lie: resolved from Maven by jgo once, then found again without asking anybody.

The cache folder of a version appears by one rename when every jar in it is whole, so a download that was cut off leaves
nothing that a later start could take for good.
"""

import fcntl
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.core.errors import StartupError

KAFKA_VERSION = "4.1.1"
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Kafka logs through slf4j 1.7; without a binding a broker that fails to start says nothing.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
)
CACHE_VARIABLE = "DRIFTLINE_CACHE_DIR"

_INDEX = "classpath.json"
_TIMEOUT_S = 30
# What jgo raises: requests' errors are OSErrors, a POM that does not parse is a SyntaxError.
_RESOLVE_ERRORS = (OSError, RuntimeError, ValueError, AssertionError, SyntaxError)

Progress = Callable[[str], None]


def cache_folder() -> Path:
    """Where downloads are kept: ``$DRIFTLINE_CACHE_DIR``, else ``driftline`` in the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "driftline"


def kafka_classpath(progress: Progress, cache: Path | None = None) -> tuple[Path, ...]:
    """The jars of Apache Kafka, downloaded on the first call.

    Args:
        progress: called with one line for a person before anything slow.
        cache: the folder to keep them in; None takes ``cache_folder()``.

    Returns:
        The absolute paths of all jars, in class path order; each exists with its full size.

    Raises:
        StartupError: the jars are not in the cache and cannot be fetched.
    """
    home = (cache or cache_folder()) / f"kafka-{KAFKA_VERSION}"
    known = _known(home)
    if known is not None:
        return known
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with _locked(home.with_name(f"{home.name}.lock")):
            known = _known(home)  # another process may have fetched them while this one waited
            return known if known is not None else _fetch(home, progress)
    except OSError as error:
        raise StartupError(
            f"cannot write the download cache {home.parent}: {error}; make it writable or set {CACHE_VARIABLE}"
        ) from error


def _known(home: Path) -> tuple[Path, ...] | None:
    """The jars as the index lists them; None when the index or a jar is missing or not whole."""
    try:
        index = json.loads((home / _INDEX).read_text(encoding="utf-8"))
        jars = [(home / name, size) for name, size in index["jars"]]
        whole = index["coordinates"] == list(COORDINATES) and all(jar.stat().st_size == size for jar, size in jars)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return tuple(jar for jar, _ in jars) if whole else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file: of several processes that start at once only one downloads."""
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(home: Path, progress: Progress) -> tuple[Path, ...]:
    progress(f"fetching Apache Kafka {KAFKA_VERSION} from Maven (about 44 MB, once)")
    staging = home.with_name(f"{home.name}.staging")
    shutil.rmtree(staging, ignore_errors=True)  # what a killed download left; the lock says nobody uses it
    staging.mkdir()
    try:
        names = [_keep(jar, staging) for jar in _resolve(staging / "repository")]
    except _RESOLVE_ERRORS as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StartupError(
            f"Apache Kafka {KAFKA_VERSION} is not in the cache {home.parent} and cannot be fetched: {error}; the first"
            f" start needs a network (or a copy of the cache folder from another machine), later ones do not"
        ) from error
    shutil.rmtree(staging / "repository", ignore_errors=True)  # the POMs have done their work
    index = {"coordinates": COORDINATES, "jars": [(name, (staging / name).stat().st_size) for name in names]}
    (staging / _INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    shutil.rmtree(home, ignore_errors=True)  # here the index or a jar was found missing or cut
    staging.rename(home)
    return tuple(home / name for name in names)


def _resolve(repository: Path) -> list[Path]:
    """Let jgo find all jars, taking what the user's own Maven repository already has."""
    # jgo pulls in a few hundred modules, which only the very first start needs.
    from jgo.config import GlobalSettings  # noqa: PLC0415 - see above
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - see above
    from jgo.maven import MavenContext  # noqa: PLC0415 - see above
    from jgo.parse import Coordinate  # noqa: PLC0415 - see above

    settings = GlobalSettings.load()
    context = MavenContext(
        repo_cache=repository,
        local_repos=[Path(settings.repo_cache)],
        # A mirror configured for jgo under the name "central" takes the place of the public repository.
        remote_repos={"central": MAVEN_CENTRAL_URL, **settings.repositories},
        timeout=_TIMEOUT_S,
    )
    found: dict[tuple[str, str], Path] = {}
    for coordinate in COORDINATES:
        # One at a time: jgo would let what the second manages (an old kafka-clients) overrule the first's own versions.
        wanted = context.create_dependency(replace(Coordinate.parse(coordinate), scope="compile"))
        inputs, transitive = context.resolver.resolve([wanted])
        for dependency in [*inputs, *(each for each in transitive if each.scope in ("compile", "runtime"))]:
            artifact = dependency.artifact
            name = (artifact.groupId, artifact.artifactId)
            if name not in found:
                found[name] = Path(artifact.resolve())
    return list(found.values())


def _keep(jar: Path, folder: Path) -> str:
    """Copy a jar into the folder and read it through: a cut or damaged file must not enter the cache."""
    copy = folder / jar.name
    shutil.copyfile(jar, copy)
    try:
        with zipfile.ZipFile(copy) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        damaged = str(error)
    if damaged:
        raise ValueError(f"{jar} is damaged ({damaged}), delete it")
    return jar.name
