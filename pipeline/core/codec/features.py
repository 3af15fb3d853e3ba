"""The features of a batch, collected group by group: from events as rows, from columnar records as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np

from pipeline.core.codec.columns import Codes
from pipeline.core.codec.limits import MAX_FEATURES
from pipeline.core.events import FeatureColumn, FeatureTable, Float64s, Int32s

MAX_TABLE_FEATURES = 2 * MAX_FEATURES
"""A table that would have more columns is closed and another begun: rows with ever new names must not fill memory."""


@dataclass(slots=True)
class _Column:
    """Parts of one column: where each begins in the table, its numbers, and its codes where it has texts."""

    parts: list[tuple[int, Float64s, Int32s | None]] = field(default_factory=list)
    texts: Codes[str, str] = field(default_factory=lambda: Codes(str))

    def add(self, start: int, values: Sequence[float | str | bool | None]) -> None:
        types = set(map(type, values))
        if str not in types:
            self.parts.append((start, np.array(values, np.float64), None))
        elif len(types) == 1:
            self.parts.append((start, np.full(len(values), np.nan), self._coded(values)))
        else:
            is_text = [isinstance(value, str) for value in values]
            numbers = np.array([None if text else value for value, text in zip(values, is_text, strict=True)], float)
            codes = np.full(len(values), -1, np.int32)
            codes[is_text] = self._coded(list(compress(values, is_text)))
            self.parts.append((start, numbers, codes))

    def add_scanned(self, start: int, scanned: FeatureColumn) -> None:
        codes = scanned.codes
        if codes is not None:
            # The last name stands for -1, no text.
            codes = np.append(self._coded(scanned.texts), np.int32(-1))[codes]
        self.parts.append((start, scanned.numbers, codes))

    def _coded(self, texts: Sequence[Any]) -> Int32s:
        return self.texts.encode(texts).astype(np.int32)

    def whole(self, rows: int, order: Int32s | None) -> FeatureColumn:
        if len(self.parts) == 1 and len(self.parts[0][1]) == rows:
            _, numbers, codes = self.parts[0]
        else:
            numbers = np.full(rows, np.nan)
            codes = np.full(rows, -1, np.int32) if len(self.texts) else None
            for start, part, part_codes in self.parts:
                numbers[start : start + len(part)] = part
                if codes is not None and part_codes is not None:
                    codes[start : start + len(part)] = part_codes
        if order is not None:
            numbers, codes = numbers[order], None if codes is None else codes[order]
        return FeatureColumn(numbers, codes, self.texts.names)


@dataclass(slots=True)
class _Table:
    """One growing table of a group."""

    rows: list[Int32s] = field(default_factory=list)
    size: int = 0
    columns: dict[str, _Column] = field(default_factory=dict)

    def fits(self, names: Sequence[str]) -> bool:
        fresh = sum(name not in self.columns for name in names)
        return not self.columns or len(self.columns) + fresh <= MAX_TABLE_FEATURES

    def whole(self, group: int) -> FeatureTable:
        rows = np.concatenate(self.rows).astype(np.int32, copy=False)
        order = None
        if len(rows) > 1 and not bool(np.all(rows[1:] > rows[:-1])):
            order = np.argsort(rows).astype(np.int32)
            rows = rows[order]
        columns = {name: column.whole(self.size, order) for name, column in self.columns.items()}
        return FeatureTable(group, rows, columns)


class FeatureCollector:
    """Collects the features of one batch."""

    def __init__(self) -> None:
        self._tables: dict[int, list[_Table]] = {}

    def add_rows(self, group: int, rows: Int32s, features: Sequence[Mapping[str, Any]]) -> None:
        """Append events that carry features.

        Args:
            group: their group.
            rows: int32[k], their rows in the batch.
            features: k mappings of checked values, none of them empty.
        """
        names = list(map(tuple, features))
        # Neighbours mostly have the same names in the same order.
        if names.count(names[0]) == len(names):
            self._add_alike(group, rows, names[0], features)
            return
        shapes: dict[tuple[str, ...], list[int]] = {}
        for index, one in enumerate(names):
            shapes.setdefault(one, []).append(index)
        for shape, indexes in shapes.items():
            self._add_alike(group, rows[indexes], shape, [features[index] for index in indexes])

    def _add_alike(
        self, group: int, rows: Int32s, names: tuple[str, ...], features: Sequence[Mapping[str, Any]]
    ) -> None:
        columns = zip(*[one.values() for one in features], strict=True)
        self.add_columns(group, rows, dict(zip(names, columns, strict=True)))

    def add_columns(self, group: int, rows: Int32s, columns: Mapping[str, Sequence[Any]]) -> None:
        """Append rows that have the same names.

        Args:
            group: their group.
            rows: int32[k], their rows in the batch.
            columns: name to k checked values.
        """
        table = self._table(group, list(columns))
        for name, values in columns.items():
            table.columns.setdefault(name, _Column()).add(table.size, values)
        table.rows.append(rows)
        table.size += len(rows)

    def add_scanned(self, group: int, rows: Int32s, columns: Mapping[str, FeatureColumn]) -> None:
        """Append rows as a scan found them.

        Args:
            group: their group.
            rows: int32[k], their rows in the batch.
            columns: name to k values.
        """
        table = self._table(group, list(columns))
        for name, column in columns.items():
            table.columns.setdefault(name, _Column()).add_scanned(table.size, column)
        table.rows.append(rows)
        table.size += len(rows)

    def _table(self, group: int, names: Sequence[str]) -> _Table:
        tables = self._tables.setdefault(group, [_Table()])
        if not tables[-1].fits(names):
            tables.append(_Table())
        return tables[-1]

    def tables(self) -> list[FeatureTable]:
        """What was collected.

        Returns:
            One table a group that carries features; several where the names differ too much from row to row.
        """
        return [table.whole(group) for group, tables in self._tables.items() for table in tables]
