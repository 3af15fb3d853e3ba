"""What windows that are final say of how labels come: how many did, after how long, for each true class."""

from typing import Self

from pipeline.core.accumulate.delays import NO_CLASS, Delays, add_all, count_labels
from pipeline.core.events import Json

MAX_CLASSES = 50
"""Classes of a window that are remembered apart: those with most labels (ties: the lesser name)."""


class PastLabels:
    """Final windows, added up.

    Attributes:
        predictions: their predictions.
        delays: of their labels; the classes beyond ``MAX_CLASSES`` of each window together, under ``NO_CLASS``.
    """

    __slots__ = ("delays", "predictions")

    def __init__(self, predictions: int = 0, delays: Delays | None = None) -> None:
        self.predictions = predictions
        self.delays = delays or Delays()

    @classmethod
    def of_window(cls, predictions: int, delays: Delays) -> Self:
        """Remember one window, in bounded space.

        Args:
            predictions: its predictions.
            delays: of all its labels.

        Returns:
            What is remembered.
        """
        sketches = delays.sketches
        by_labels = sorted(sketches, key=lambda name: (-count_labels(sketches[name]), name))
        kept = {name: sketches[name] for name in by_labels[:MAX_CLASSES]}
        if len(by_labels) > MAX_CLASSES:
            kept[NO_CLASS] = add_all(sketches[name] for name in by_labels[MAX_CLASSES:])
        return cls(predictions, Delays(kept))

    def merge(self, other: Self) -> None:
        """Add other windows.

        Args:
            other: what is remembered of them.
        """
        self.predictions += other.predictions
        self.delays.merge(other.delays)

    def to_wire(self) -> Json:
        """``[predictions, delays]``."""
        return [self.predictions, self.delays.to_wire()]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            What was remembered.
        """
        predictions, delays = wire
        return cls(predictions, Delays.from_wire(delays))
