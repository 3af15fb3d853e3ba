"""What an accumulator is: a *family* folds rows into mergeable states and turns a merged state into numbers.

The joiner folds each micro-batch into one small state a cell and sends the states on; the monitor merges them by pane,
panes into windows, and asks each family for its report. States hold integers wherever they can, so any sharding, order
and re-merge gives the same bits. Contributions of labels can be taken back: that is merging them with negative counts.
Predictions are never taken back (the first one wins), so only states that fold them may hold a minimum or a maximum.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

from pipeline.core.events import Cells, Group, Json, LabelChanges, Predictions, Task
from pipeline.core.metrics.settings import QualitySettings
from pipeline.core.reference import ReferenceProfile


class State(Protocol):
    """One cell's accumulator, small and mergeable."""

    def merge(self, other: Self) -> None:
        """Add another state to this one in place; commutative and associative. The other stays as it is.

        Args:
            other: a state of the same family.
        """

    def to_wire(self) -> Json:
        """The state as a JSON value that orjson writes; equal states give equal values.

        Returns:
            What the family's ``from_wire`` reads back; integers beyond 64 bits are texts.
        """

    def is_zero(self) -> bool:
        """Whether merging this state changes nothing."""


class References(Protocol):
    """The known reference profiles; a plain dict of groups to profiles is one."""

    def get(self, group: Group, /) -> ReferenceProfile | None:
        """The profile of a group; None while it is being learned.

        Args:
            group: the model version.
        """


@dataclass(frozen=True, slots=True)
class Context:
    """What reports need beside the state.

    Attributes:
        model: the model.
        model_version: its version.
        task: what it predicts.
        segment: the segment, ``""`` for everything.
        window_size_ms: the window's length.
        final: whether the label horizon has passed.
        reference: the profile that the states were folded against; None while it is being learned.
        psi_threshold: the population stability index from which a feature counts as drifted.
        js_threshold: the Jensen-Shannon distance from which a feature counts as drifted.
        quality: which numbers of the quality section are wanted, and the level of its intervals.
    """

    model: str
    model_version: str
    task: Task
    segment: str
    window_size_ms: int
    final: bool
    reference: ReferenceProfile | None
    psi_threshold: float
    js_threshold: float
    quality: QualitySettings = field(default_factory=QualitySettings)


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of one family for one window.

    Attributes:
        values: sections to be deep-merged into ``window_metrics.v1``; a number that cannot be computed is None.
        reasons: the dotted path of each None (or of a section left empty) to a fixed code that says why.
    """

    values: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


S = TypeVar("S", bound=State)

FoldPredictions = Callable[[Predictions, Cells, References], dict[int, S]]
FoldLabels = Callable[[LabelChanges, Cells], dict[int, S]]


@dataclass(frozen=True, slots=True)
class Family(Generic[S]):
    """One kind of accumulator.

    Attributes:
        name: its key on the wire.
        zero: makes the empty state.
        from_wire: reads what ``State.to_wire`` wrote.
        fold_predictions: predictions and their cells to a fresh state a touched cell; None where it folds none.
        fold_labels: contributions of labels and their cells to a fresh state a touched cell; None where it folds none.
        report: a merged state to its numbers; None where it has none. Tasks it does not speak of get an empty report.
        tasks: those it speaks of; batches without them are not folded.
        needs_reference: whether ``fold_predictions`` leaves out groups whose reference is not known; the joiner keeps
            their rows and folds them once it is.
        halve: a wire value to two that merge to the same, for states that can outgrow a record; None where one is small
            by nature. Gives None for a value that cannot be cut.
    """

    name: str
    zero: Callable[[], S]
    from_wire: Callable[[Json], S]
    fold_predictions: FoldPredictions[S] | None = None
    fold_labels: FoldLabels[S] | None = None
    report: Callable[[S, Context], Report] | None = None
    tasks: frozenset[Task] = frozenset(Task)
    needs_reference: bool = False
    halve: Callable[[Json], tuple[Json, Json] | None] | None = None
