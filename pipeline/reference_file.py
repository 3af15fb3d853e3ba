"""Reference profiles as files: built from training or validation data, read by the joiner.

A csv file has a header line. A csv column is numbers when every value in it is one (``true`` and ``false`` are 1 and 0,
as in events); otherwise it is texts throughout. An empty csv value, ``nan`` or ``null`` is missing. A jsonl line is
either a ``prediction.v1`` event, of which lines of other models and versions are passed over, or a flat object of
features; a parquet column keeps its type.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.core.errors import ConfigError, ConfigFault
from pipeline.core.events import FeatureColumn
from pipeline.core.reference import ReferenceProfile, build_profile

MAX_FEATURES = 512
"""The most features a prediction may carry."""

_MISSING = frozenset({"", "nan", "null"})
_BOOLEANS = {"true": 1.0, "false": 0.0}

Columns = dict[str, list[Any]]
"""Each feature's values, row by row: a number, a text, or None."""


def build_reference_file(
    source: Path,
    target: Path,
    *,
    model: str,
    model_version: str,
    bins: int,
    max_categories: int,
    columns: Sequence[str] | None = None,
) -> ReferenceProfile:
    """Build a reference profile from a data file.

    Args:
        source: a ``.csv``, ``.jsonl``, ``.ndjson`` or ``.parquet`` file.
        target: where the profile is written, as JSON; replaced as a whole.
        model: the model the profile is for.
        model_version: its version; ``*`` is any.
        bins: the most bins for the numbers of a feature.
        max_categories: the most texts of a feature that get a slot of their own.
        columns: the features to use; None uses all.

    Returns:
        The profile that was written.

    Raises:
        ConfigError: the source cannot be read or used, or the target cannot be written; says where and what to do.
    """
    readers: dict[str, Callable[[], tuple[int, Mapping[str, FeatureColumn]]]] = {
        ".csv": lambda: _columns_of(_read_csv(source, columns)),
        ".jsonl": lambda: _columns_of(_read_jsonl(source, columns, model, model_version)),
        ".ndjson": lambda: _columns_of(_read_jsonl(source, columns, model, model_version)),
        ".parquet": lambda: _columns_of(_read_parquet(source, columns)),
    }
    reader = readers.get(source.suffix.lower())
    if reader is None:
        raise _fault(source, f"the ending {source.suffix!r} is not known", f"give one of {', '.join(readers)}")
    try:
        rows, found = reader()
    except OSError as error:
        raise _fault(source, error.strerror or str(error), "give the path of a readable file") from None
    except UnicodeDecodeError:
        raise _fault(source, "not UTF-8 text", "convert the file to UTF-8") from None
    if not rows or not found:
        raise _fault(source, "no rows with features", "give a file with at least one row for this model and version")
    if len(found) > MAX_FEATURES:
        raise _fault(source, f"{len(found)} features, at most {MAX_FEATURES} go", "name fewer columns")
    profile = build_profile(
        found, model=model, model_version=model_version, rows=rows, bins=bins, max_categories=max_categories
    )
    _write(target, profile)
    return profile


def load_reference_file(path: Path) -> ReferenceProfile:
    """Read a reference profile.

    Args:
        path: a file that ``build_reference_file`` wrote.

    Returns:
        The profile.

    Raises:
        ConfigError: the file cannot be read, or is no profile.
    """
    mend = "build it with: driftline reference build"
    try:
        return ReferenceProfile.from_json(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise _fault(path, error.strerror or str(error), mend) from None
    except (ValueError, AttributeError) as error:
        raise _fault(path, f"not a reference profile: {error}", mend) from None


def _fault(place: Path | str, problem: str, mend: str) -> ConfigError:
    return ConfigError([ConfigFault(str(place), problem, mend)])


def _write(target: Path, profile: ReferenceProfile) -> None:
    # Written beside and moved over: a reader never sees half a profile.
    beside = target.with_name(target.name + ".tmp")
    try:
        beside.write_bytes(orjson.dumps(profile.to_json(), option=orjson.OPT_INDENT_2))
        beside.replace(target)
    except OSError as error:
        raise _fault(target, error.strerror or str(error), "give a path that can be written") from None


def _wanted(source: Path, there: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    """The asked-for columns; names that are not there are a fault."""
    absent = sorted(set(columns or ()) - set(there))
    if absent:
        raise _fault(source, f"no column {', '.join(map(repr, absent))}", f"there are {', '.join(map(repr, there))}")
    return list(columns if columns is not None else there)


def _read_csv(source: Path, columns: Sequence[str] | None) -> tuple[int, Columns]:
    with source.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = next(lines, [])
            if len(set(header)) != len(header) or not all(header):
                raise _fault(f"{source}:1", "the header names a column twice or not at all", "name each column once")
            wanted = _wanted(source, header, columns)
            texts: dict[str, list[str]] = {name: [] for name in wanted}
            places = [(texts[name], header.index(name)) for name in wanted]
            rows = 0
            for values in lines:
                if not values:
                    continue
                if len(values) != len(header):
                    raise _fault(
                        f"{source}:{lines.line_num}",
                        f"{len(values)} values under {len(header)} columns",
                        "give every line one value a column, empty where it is missing",
                    )
                rows += 1
                for column, index in places:
                    column.append(values[index])
        except csv.Error as error:
            raise _fault(f"{source}:{lines.line_num}", f"not csv: {error}", "correct that line") from None
    return rows, {name: _csv_values(column) for name, column in texts.items()}


def _csv_values(texts: list[str]) -> list[Any]:
    values = [None if text.strip().lower() in _MISSING else text for text in texts]
    try:
        return [None if text is None else _csv_number(text) for text in values]
    except ValueError:
        return list(values)


def _csv_number(text: str) -> float:
    number = _BOOLEANS.get(text.strip().lower())
    number = float(text) if number is None else number
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _read_jsonl(source: Path, columns: Sequence[str] | None, model: str, model_version: str) -> tuple[int, Columns]:
    found: Columns = {name: [] for name in columns or ()}
    rows = 0
    for place, features in _jsonl_features(source, model, model_version):
        for name, value in features.items():
            if columns is not None and name not in found:
                continue
            column = found.setdefault(name, [])
            column.extend([None] * (rows - len(column)))
            column.append(_jsonl_value(place, name, value))
        rows += 1
    for name, column in found.items():
        if not column:
            raise _fault(source, f"no row has the feature {name!r}", "correct its name or leave it out")
        column.extend([None] * (rows - len(column)))
    return rows, found


def _jsonl_features(source: Path, model: str, model_version: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place and features of each row that counts."""
    with source.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{source}:{number}"
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise _fault(place, f"not JSON: {error}", "write one JSON object a line") from None
            if not isinstance(row, dict):
                raise _fault(place, "not a JSON object", "write one JSON object a line")
            if "prediction_id" in row and isinstance(row.get("features", {}), dict):
                mine = row.get("model") == model and model_version in ("*", row.get("model_version"))
                row = row.get("features") if mine else None
            if row:
                yield place, row


def _jsonl_value(place: str, name: str, value: object) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return float(value)
    raise _fault(place, f"feature {name!r} is neither number, string, boolean nor null", "leave it out or flatten it")


def _read_parquet(source: Path, columns: Sequence[str] | None) -> tuple[int, Columns]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an optional dependency
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError:
        raise _fault(source, "reading parquet needs pyarrow", "pip install 'driftline[parquet]'") from None
    try:
        file = pq.ParquetFile(source)
        wanted = _wanted(source, file.schema_arrow.names, columns)
        table = file.read(columns=wanted)
    except pa.ArrowException as error:
        raise _fault(source, f"not parquet: {error}", "give a parquet file") from None
    types = pa.types
    found: Columns = {}
    for name in wanted:
        kind = table.schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        values = table.column(name).to_pylist()
        if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind):
            found[name] = [None if value is None else _finite(source, name, float(value)) for value in values]
        elif types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind):
            found[name] = values
        else:
            raise _fault(source, f"column {name!r} is {kind}, not numbers or strings", "convert it or leave it out")
    return table.num_rows, found


def _finite(place: Path, name: str, number: float) -> float | None:
    if math.isinf(number):
        raise _fault(place, f"column {name!r} holds an infinite number", "leave such rows out")
    return None if math.isnan(number) else number


def _columns_of(read: tuple[int, Columns]) -> tuple[int, dict[str, FeatureColumn]]:
    rows, columns = read
    return rows, {name: _feature_column(values) for name, values in columns.items()}


def _feature_column(values: list[Any]) -> FeatureColumn:
    numbers = np.array([value if isinstance(value, float) else np.nan for value in values])
    code_of: dict[str, int] = {}
    codes = np.array(
        [code_of.setdefault(value, len(code_of)) if isinstance(value, str) else -1 for value in values], np.int32
    )
    return FeatureColumn(numbers, codes if code_of else None, tuple(code_of))
