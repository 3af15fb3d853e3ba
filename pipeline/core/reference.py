"""Reference profiles: what a model version's features looked like when all was well, as counts by bin.

Every feature's values fall into one row of *slots*: its number bins, its categories, ``other``, ``missing``. Drift
compares counts over these slots. How the slots are cut:

- Up to ``bins`` distinct numbers: each number is its own bin, and a number never seen before goes to ``other`` (so a
  constant feature notices when it stops being constant).
- More: the edges are the quantiles at 1/bins, 2/bins, … taken from the values themselves (no interpolation), equal ones
  collapsed. A bin holds what is above its lower edge up to and including its upper edge; the outer bins are open, so
  later values outside the range go to them.
- Texts: the most frequent ``max_categories`` (ties: the lesser text first) of at most ``MAX_CATEGORY_CHARS``
  characters; the rest goes to ``other``.
- A feature with both kinds has both; one that was always missing has only ``other`` and ``missing``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import orjson

from pipeline.core.events import FeatureColumn, Float64s, Int32s, Int64s, Json
from pipeline.core.kernels.bins import BY_EDGES, BY_VALUES, NO_NUMBERS, slot_rows

Kind: TypeAlias = Literal["numeric", "text", "mixed", "missing"]
Binning: TypeAlias = Literal["none", "values", "edges"]

MAX_CATEGORY_CHARS = 128
"""Longer texts name no category: they are what people wrote, and a profile of them would have no end."""

_MODES = {"none": NO_NUMBERS, "values": BY_VALUES, "edges": BY_EDGES}
_NO_CODES: Int32s = np.empty(0, np.int32)


@dataclass(frozen=True)
class FeatureProfile:
    """How one feature's values fall into slots, and how many of the reference's rows fell into each.

    Attributes:
        kind: which kinds of values the reference holds.
        binning: whether ``bounds`` are single values, edges between bins, or there are no numbers.
        bounds: the values or edges, strictly rising.
        categories: the texts that have a slot of their own.
        counts: rows a slot: number bins, categories, other, missing.
    """

    kind: Kind
    binning: Binning
    bounds: tuple[float, ...]
    categories: tuple[str, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what no builder writes: profiles also come from files and topics.

        Raises:
            ValueError: bounds, categories and counts do not belong together.
        """
        if any(not low < high for low, high in zip(self.bounds, self.bounds[1:], strict=False)):
            raise ValueError("bounds must rise strictly")
        if not all(np.isfinite(self.bounds)):
            raise ValueError("bounds must be finite")
        if (self.binning == "none") != (not self.bounds):
            raise ValueError(f"binning {self.binning!r} does not go with {len(self.bounds)} bounds")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories must be distinct")
        if len(self.counts) != self.slots or min(self.counts) < 0:
            raise ValueError(f"counts must be {self.slots} numbers of rows")

    @property
    def number_bins(self) -> int:
        """The number of slots for numbers."""
        return len(self.bounds) + (self.binning == "edges")

    @property
    def slots(self) -> int:
        """The number of slots; the last but one is ``other``, the last is ``missing``."""
        return self.number_bins + len(self.categories) + 2

    @cached_property
    def _bounds(self) -> Float64s:
        return np.array(self.bounds, np.float64)

    @cached_property
    def _slot_of_text(self) -> dict[str, int]:
        return {text: self.number_bins + index for index, text in enumerate(self.categories)}

    def slot(self, column: FeatureColumn) -> Int32s:
        """The slot of each row.

        Args:
            column: k rows of the feature.

        Returns:
            int32[k], 0 up to ``slots - 1``.
        """
        other = self.slots - 2
        text_slots = np.fromiter((self._slot_of_text.get(text, other) for text in column.texts), np.int32)
        codes = _NO_CODES if column.codes is None else column.codes
        return slot_rows(column.numbers, codes, text_slots, self._bounds, _MODES[self.binning], other)


@dataclass(frozen=True)
class ReferenceProfile:
    """The reference of one model version.

    Attributes:
        model: the model.
        model_version: its version.
        rows: the rows it was built from.
        features: each feature's profile.
    """

    model: str
    model_version: str
    rows: int
    features: dict[str, FeatureProfile]

    def __post_init__(self) -> None:
        """Refuse a profile without rows, or whose counts do not add up.

        Raises:
            ValueError: there are no rows, or a feature's counts are not the rows of the profile.
        """
        if self.rows < 1:
            raise ValueError("a reference needs at least one row")
        for name, feature in self.features.items():
            if sum(feature.counts) != self.rows:
                raise ValueError(f"feature {name!r}: counts add up to {sum(feature.counts)}, not to {self.rows} rows")

    @cached_property
    def id(self) -> str:
        """The hash of the content: equal profiles have equal ids, wherever they were built."""
        content = orjson.dumps(self._content(), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()[:16]

    @cached_property
    def places(self) -> Mapping[str, slice]:
        """Where each feature's slots but ``missing`` stand in a row of all features' counts, in the order of names."""
        ends = np.cumsum([0, *(self.features[name].slots - 1 for name in sorted(self.features))]).tolist()
        return {name: slice(*ends[at : at + 2]) for at, name in enumerate(sorted(self.features))}

    @property
    def size(self) -> int:
        """The length of such a row."""
        return sum(feature.slots - 1 for feature in self.features.values())

    def to_json(self) -> Json:
        """The profile as a JSON object, with its id."""
        return {"id": self.id, **self._content()}

    def _content(self) -> dict[str, Json]:
        features = {
            name: {
                "kind": feature.kind,
                "binning": feature.binning,
                "bounds": list(feature.bounds),
                "categories": list(feature.categories),
                "counts": list(feature.counts),
            }
            for name, feature in sorted(self.features.items())
        }
        return {
            "model": self.model,
            "model_version": self.model_version,
            "rows": self.rows,
            "features": features,
        }

    @classmethod
    def from_json(cls, value: Json) -> "ReferenceProfile":
        """Read what ``to_json`` wrote.

        Args:
            value: the JSON object.

        Returns:
            The profile.

        Raises:
            ValueError: not a profile, or edited since its id was written.
        """
        profile = msgspec.convert(value, ReferenceProfile)
        if profile.id != value.get("id", profile.id):
            raise ValueError(f"the content does not match its id {value['id']!r}: build the profile again")
        return profile


def build_profile(
    columns: Mapping[str, FeatureColumn],
    *,
    model: str,
    model_version: str,
    rows: int,
    bins: int,
    max_categories: int,
) -> ReferenceProfile:
    """Build the reference of a model version from rows of its features.

    Args:
        columns: each feature's values in all rows.
        model: the model.
        model_version: its version.
        rows: the number of rows, the length of every column.
        bins: the most bins for the numbers of a feature.
        max_categories: the most texts of a feature that get a slot of their own.

    Returns:
        The profile.

    Raises:
        ValueError: there are no rows, or a column's length is not ``rows``.
    """
    features = {}
    for name, column in columns.items():
        if len(column.numbers) != rows:
            raise ValueError(f"feature {name!r} has {len(column.numbers)} values for {rows} rows")
        features[name] = _profile_feature(column, bins, max_categories)
    return ReferenceProfile(model, model_version, rows, features)


def _profile_feature(column: FeatureColumn, bins: int, max_categories: int) -> FeatureProfile:
    # Adding 0.0 turns -0.0 into 0.0: the two are equal, and the id must not depend on which came first.
    numbers = np.sort(column.numbers[~np.isnan(column.numbers)]) + 0.0
    binning, bounds = _cut_numbers(numbers, bins)
    counts = _text_counts(column)
    ranked = sorted(
        (text for text in counts if len(text) <= MAX_CATEGORY_CHARS), key=lambda text: (-counts[text], text)
    )
    kind: Kind = "mixed" if len(numbers) and counts else "numeric" if len(numbers) else "text" if counts else "missing"
    number_bins = len(bounds) + (binning == "edges")
    categories = tuple(ranked[:max_categories])
    empty = FeatureProfile(kind, binning, bounds, categories, (0,) * (number_bins + len(categories) + 2))
    found: Int64s = np.bincount(empty.slot(column), minlength=empty.slots)
    return FeatureProfile(kind, binning, bounds, categories, tuple(found.tolist()))


def _cut_numbers(ordered: Float64s, bins: int) -> tuple[Binning, tuple[float, ...]]:
    if not len(ordered):
        return "none", ()
    distinct = np.unique(ordered)
    if len(distinct) <= bins:
        return "values", tuple(distinct.tolist())
    # The i-th edge is the least value that at least i/bins of the values do not exceed; integers, so no rounding.
    last = [-(-i * len(ordered) // bins) - 1 for i in range(1, bins)]
    return "edges", tuple(np.unique(ordered[last]).tolist())


def _text_counts(column: FeatureColumn) -> dict[str, int]:
    if column.codes is None:
        return {}
    is_text = np.isnan(column.numbers) & (column.codes >= 0)
    by_code = np.bincount(column.codes[is_text], minlength=len(column.texts))
    counts: dict[str, int] = {}
    for text, count in zip(column.texts, by_code.tolist(), strict=True):
        if count:
            counts[text] = counts.get(text, 0) + count
    return counts


def concatenate_columns(parts: Sequence[tuple[int, Mapping[str, FeatureColumn]]]) -> dict[str, FeatureColumn]:
    """Put the feature columns of several batches under each other.

    Args:
        parts: the number of rows and the columns of each batch; a column absent from a batch is missing in its rows.

    Returns:
        Each feature's values over all rows, in the order of the parts.
    """
    names = dict.fromkeys(name for _, columns in parts for name in columns)
    return {name: _concatenate([(rows, columns.get(name)) for rows, columns in parts]) for name in names}


def _concatenate(parts: Sequence[tuple[int, FeatureColumn | None]]) -> FeatureColumn:
    numbers = [np.full(rows, np.nan) if column is None else column.numbers for rows, column in parts]
    if all(column is None or column.codes is None for _, column in parts):
        return FeatureColumn(np.concatenate(numbers))
    code_of: dict[str, int] = {}
    codes = []
    for rows, column in parts:
        if column is None or column.codes is None:
            codes.append(np.full(rows, -1, np.int32))
            continue
        # The extra last place keeps -1 (no text) as -1.
        merged = np.array([code_of.setdefault(text, len(code_of)) for text in column.texts] + [-1], np.int32)
        codes.append(merged[column.codes])
    return FeatureColumn(np.concatenate(numbers), np.concatenate(codes), tuple(code_of))
