"""What a window event must say of the rows in its window, recomputed with fractions and plain loops."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tests.audit.truth import Cell, Prediction

Json = Any


def mean(values: Sequence[float]) -> float:
    """The exact mean, rounded once."""
    return float(sum(map(Fraction, values)) / len(values))


def window_numbers(task: str, cell: Cell, reference: "Reference | None", drift_rows: int) -> dict[str, Json]:
    """The numbers of a window event that its rows decide.

    Args:
        task: what the model predicts.
        cell: the rows in the window.
        reference: what drift is measured against.
        drift_rows: the fewest rows with features that are compared.
    """
    rows = cell.predictions
    judged = [(row.event["prediction"], max(row.labels)[2]) for row in rows if row.labels]
    usable = [(guess, label) for guess, label in judged if _usable(task, label)]
    labelled = len(usable)
    latencies = [float(row.event["latency_ms"]) for row in rows if row.event.get("latency_ms") is not None]
    return {
        "counts": {
            "predictions": len(rows),
            "labelled": labelled,
            "duplicates": cell.duplicates,
            "late": sum(row.late for row in rows),
            "labels": sum(len(row.labels) for row in rows),
            "mismatched": len(judged) - labelled,
            "unmatched_labels": cell.unmatched,
        },
        "label_coverage": labelled / len(rows) if rows else None,
        "quality": _QUALITY[task](usable),
        "latency_ms": {
            "mean": mean(latencies) if latencies else None,
            "max": max(latencies) if latencies else None,
        },
        "data_quality": _data_quality(rows),
        "drift": _drift(rows, reference, drift_rows),
    }


def feature_rows(cell: Cell) -> int:
    """How many rows of a window carry features."""
    return len(_features(cell.predictions))


# --- quality ---------------------------------------------------------------------------------------------------------


def _usable(task: str, label: Json) -> bool:
    if task == "regression":
        return isinstance(label, int | float)
    if task == "multilabel":
        return isinstance(label, list)
    if task == "ranking":
        return isinstance(label, dict)
    return isinstance(label, str | int) or (isinstance(label, float) and label.is_integer())


def _name(label: Json) -> str:
    return label if isinstance(label, str) else str(int(label))


def _classes(pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    named = [(_name(guess), _name(label)) for guess, label in pairs]
    if not named:
        return {"accuracy": None, "f1_macro": None}
    scores = []
    for one in {name for pair in named for name in pair}:
        both = sum(guess == one for guess, _ in named) + sum(label == one for _, label in named)
        scores.append(2 * sum(guess == label == one for guess, label in named) / both)
    return {
        "accuracy": sum(guess == label for guess, label in named) / len(named),
        "f1_macro": math.fsum(scores) / len(scores),
    }


def _errors(pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    # The sums are of differences that were rounded once, as any reader of the two numbers would have them.
    errors = [float(guess) - float(label) for guess, label in pairs]
    if not errors:
        return dict.fromkeys(("mae", "mse", "bias"))
    return {
        "mae": mean([abs(error) for error in errors]),
        "mse": float(sum(Fraction(error) ** 2 for error in errors) / len(errors)),
        "bias": mean(errors),
    }


def _nothing(_pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    """Of rankings no quality is published."""
    return {}


def _sets(pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    exact = sum({_name(one) for one in guess} == {_name(one) for one in label} for guess, label in pairs)
    return {"subset_accuracy": exact / len(pairs) if pairs else None}


_QUALITY: Mapping[str, Callable[[Sequence[tuple[Json, Json]]], dict[str, Json]]] = {
    "binary": _classes,
    "multiclass": _classes,
    "regression": _errors,
    "multilabel": _sets,
    "ranking": _nothing,
}


# --- features --------------------------------------------------------------------------------------------------------


def _number(value: Json) -> float | None:
    """A feature's value as a number; booleans count as numbers, texts and nothing do not."""
    return None if value is None or isinstance(value, str) else float(value)


def _features(rows: Sequence[Prediction]) -> list[dict[str, Json]]:
    return [row.event["features"] for row in rows if row.event.get("features")]


def _data_quality(rows: Sequence[Prediction]) -> dict[str, Json]:
    given = _features(rows)
    names = {name for one in given for name, value in one.items() if value is not None}
    section = {}
    for name in names:
        values = [one.get(name) for one in given]
        numbers = [number for number in map(_number, values) if number is not None]
        present = sum(value is not None for value in values)
        section[name] = {
            "count": present,
            "missing": len(values) - present,
            "mean": mean(numbers) if numbers else None,
            "std": _spread(numbers) if numbers else None,
            "min": min(numbers, default=None),
            "max": max(numbers, default=None),
        }
    return section


def _spread(numbers: Sequence[float]) -> float:
    middle = sum(map(Fraction, numbers)) / len(numbers)
    return math.sqrt(sum((Fraction(number) - middle) ** 2 for number in numbers) / len(numbers))


class Reference:
    """How the features of a version's first rows fall into slots.

    Args:
        rows: their features.
        bins: the most bins for numbers.
        max_categories: the most texts with a slot of their own.
    """

    def __init__(self, rows: Sequence[dict[str, Json]], bins: int, max_categories: int) -> None:
        self.features: dict[str, tuple[Callable[[Json], Json], Counter[Json]]] = {}
        for name in {name for row in rows for name, value in row.items() if value is not None}:
            values = [row.get(name) for row in rows]
            slot = _slots(values, bins, max_categories)
            self.features[name] = slot, Counter(map(slot, values))


def _slots(values: Sequence[Json], bins: int, max_categories: int) -> Callable[[Json], Json]:
    numbers = sorted(number for number in map(_number, values) if number is not None)
    texts = Counter(value for value in values if isinstance(value, str))
    kept = set(sorted(texts, key=lambda text: (-texts[text], text))[:max_categories])
    single = set(numbers) if len(set(numbers)) <= bins else None
    edges = sorted({numbers[-(-i * len(numbers) // bins) - 1] for i in range(1, bins)}) if single is None else []

    def slot(value: Json) -> Json:
        if value is None:
            return "missing"
        if isinstance(value, str):
            return ("text", value) if value in kept else "other"
        number = float(value)
        if single is not None:
            return ("number", number) if number in single else "other"
        return "bin", sum(edge < number for edge in edges)

    return slot


def _drift(rows: Sequence[Prediction], reference: Reference | None, drift_rows: int) -> dict[str, Json]:
    given = _features(rows)
    if reference is None:
        return {}
    if len(given) < drift_rows:
        return {name: {"psi": None, "js": None} for name in reference.features}
    section = {}
    for name, (slot, expected) in reference.features.items():
        found = Counter(slot(one.get(name)) for one in given)
        used = sorted({*expected, *found}, key=str)
        section[name] = {
            "psi": _psi([found[one] for one in used], [expected[one] for one in used]),
            "js": _js([found[one] for one in used], [expected[one] for one in used]),
        }
    return section


def _psi(counts: Sequence[int], reference: Sequence[int]) -> float:
    p = [(count + 0.5) / (sum(counts) + 0.5 * len(counts)) for count in counts]
    q = [(count + 0.5) / (sum(reference) + 0.5 * len(reference)) for count in reference]
    return math.fsum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def _js(counts: Sequence[int], reference: Sequence[int]) -> float:
    p = [count / sum(counts) for count in counts]
    q = [count / sum(reference) for count in reference]
    parts = []
    for a, b in zip(p, q, strict=True):
        parts += [one * math.log2(2 * one / (a + b)) for one in (a, b) if one]
    return math.sqrt(min(max(math.fsum(parts), 0.0) / 2, 1.0))
