"""What the scores of each model version mean, learned from its first labelled rows.

A version's windows become final in the order of their ends, each once: the rows of the first ones, of the shortest size
and without a segment, are added until there are enough of them. What they say holds for windows that end later, so that
a final window's estimates are the same in every replay.

The changelog has ``calibration, model, version`` with the rows so far, then with the fit.
"""

from collections.abc import Iterator, Sequence

import orjson

from pipeline.core.accumulate.scores import Scores
from pipeline.core.events import Group, Json
from pipeline.core.metrics.positive_class import positive_class
from pipeline.core.metrics.score_calibration import ScoreCalibration, fit_calibration
from pipeline.core.metrics.score_table import score_table
from pipeline.core.metrics.settings import QualitySettings
from pipeline.core.window import WindowSize

Version = tuple[str, str]
"""Model and version."""


class Calibrations:
    """The calibrations of one monitor partition.

    Args:
        quality: how many rows are enough, and the level at which scores are corrected.
        sizes: the windows.
    """

    def __init__(self, quality: QualitySettings, sizes: Sequence[WindowSize]) -> None:
        self._quality = quality
        self._size = min(sizes)
        self._rows: dict[Version, Scores] = {}
        self._fits: dict[Version, tuple[ScoreCalibration, int]] = {}
        self._changed: set[Version] = set()

    def get(self, group: Group, end_ms: int) -> ScoreCalibration | None:
        """What a version's scores mean; None where too few labelled rows are known.

        Args:
            group: the model version.
            end_ms: the end of the window whose scores they are.
        """
        fit, since_ms = self._fits.get((group.model, group.model_version), (None, end_ms))
        return fit if end_ms > since_ms else None

    def add(self, group: Group, size: WindowSize, start_ms: int, rows: Scores) -> None:
        """Count a window without a segment that has become final.

        Args:
            group: the model version.
            size: the window's size.
            start_ms: its start.
            rows: its scored rows with labels.
        """
        version = (group.model, group.model_version)
        # Of windows that overlap, some that do not: no row may count twice.
        counts = size == self._size and size.is_disjoint(start_ms)
        if not counts or version in self._fits or rows.is_zero():
            return
        known = self._rows.setdefault(version, Scores())
        known.merge(rows)
        self._changed.add(version)
        names = sorted({*known.classes, *known.predicted})
        positive = positive_class(names)
        if positive is None or len(known.classes) < 2:
            return
        table = score_table(known, positive)
        if table.rows >= self._quality.calibration_rows:
            fit = fit_calibration(table, names, self._quality.interval_level)
            self._fits[version] = fit, start_ms + size.size_ms
            del self._rows[version]

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        for version in self._changed:
            fit = self._fits.get(version)
            value: Json = {"rows": self._rows[version].to_wire()} if fit is None else _to_wire(*fit)
            yield orjson.dumps(["calibration", *version]), orjson.dumps(value)
        self._changed = set()

    def restore(self, name: Sequence[Json], value: bytes | None) -> None:
        """Apply one changelog entry.

        Args:
            name: the entry's key without its kind.
            value: the rows so far, or the fit.
        """
        version = (name[0], name[1])
        wire = orjson.loads(value or b"{}")
        self._rows.pop(version, None)
        if "rows" in wire:
            self._rows[version] = Scores.from_wire(wire["rows"])
        elif wire:
            fit = ScoreCalibration(wire["method"], wire["scores"], wire["rates"], wire["names"])
            self._fits[version] = fit, wire["since_ms"]


def _to_wire(fit: ScoreCalibration, since_ms: int) -> Json:
    return {"method": fit.method, "scores": fit.scores, "rates": fit.rates, "names": fit.names, "since_ms": since_ms}
