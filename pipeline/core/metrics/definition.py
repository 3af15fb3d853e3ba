"""What is said of a metric."""

from dataclasses import dataclass
from typing import Literal

Cost = Literal["report", "count", "sum", "sketch", "bins"]
"""What a metric needs: nothing more than other metrics' counts, once a window; or for each row an integer, an exact
sum, a bucket of a sketch, a slot of each feature."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that a window can give.

    Attributes:
        path: where it stands in the event; ``<name>`` stands for any key.
        definition: the formula, in words or symbols.
        source: where the formula comes from.
        oracle: what the tests compare it with: a function of scikit-learn, scipy or numpy, or ``plain Python``.
        unit: of its values.
        exactness: ``exact``, or how far it may be off.
        interval: how its confidence interval is computed; ``none`` where it has none.
        nulls: the codes that say why it is null.
        cost: what has to be kept for it.
    """

    path: str
    definition: str
    source: str
    oracle: str
    unit: str = "ratio"
    exactness: str = "exact"
    interval: str = "none"
    nulls: tuple[str, ...] = ()
    cost: Cost = "report"
