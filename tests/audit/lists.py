"""What a window must say of sets of labels, with fractions and plain loops."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

Json = Any


def set_numbers(rows: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    """The quality of predicted sets.

    Args:
        rows: predicted and true labels, as the events have them.
    """
    named = [({_name(one) for one in guess}, {_name(one) for one in label}) for guess, label in rows]
    labels = {one for guess, label in named for one in guess | label}
    if not named:
        return dict.fromkeys(("hamming_loss", "f1_micro", "precision_samples", "jaccard_samples"))
    wrong = sum(len(guess ^ label) for guess, label in named)
    hits, sizes = sum(len(guess & label) for guess, label in named), sum(len(g) + len(t) for g, t in named)
    support = {one: sum(one in label for _, label in named) for one in labels}
    return {
        "hamming_loss": wrong / (len(named) * len(labels)) if labels else None,
        "f1_micro": 2 * hits / sizes if sizes else None,
        "precision_samples": _mean([Fraction(len(g & t), len(g)) for g, t in named if g]),
        "jaccard_samples": _mean([Fraction(len(g & t), len(g | t)) for g, t in named if g | t]),
        "per_class": {one: {"support": rows_of} for one, rows_of in support.items()},
    }


def _name(label: Json) -> str:
    return label if isinstance(label, str) else str(int(label))


def _mean(shares: Sequence[Fraction]) -> float | None:
    """Of shares that were rounded to doubles, as whoever looks at one row has them."""
    return float(sum(Fraction(float(share)) for share in shares) / len(shares)) if shares else None
