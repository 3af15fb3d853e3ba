import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.reference import ReferenceProfile
from pipeline.reference_file import build_reference_file, load_reference_file


def build(source: Path, **options: Any) -> ReferenceProfile:
    given = {"model": "m", "model_version": "1", "bins": 10, "max_categories": 5, **options}
    return build_reference_file(source, source.with_name("reference.json"), **given)


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def summary(profile: ReferenceProfile) -> Mapping[str, tuple[object, ...]]:
    return {name: (one.kind, one.bounds, one.categories, one.counts) for name, one in profile.features.items()}


EXPECTED = {
    "amount": ("numeric", (1.5, 2.0), (), (2, 1, 0, 1)),
    "color": ("text", (), ("red", "blue"), (2, 1, 0, 1)),
    "new": ("numeric", (0.0, 1.0), (), (2, 2, 0, 0)),
}
ROWS = [
    {"amount": 1.5, "color": "red", "new": True},
    {"amount": 2, "color": "blue", "new": False},
    {"amount": None, "color": "red", "new": False},
    {"amount": 1.5, "new": True},
]


def test_csv(tmp_path: Path) -> None:
    text = "amount,color,new\n1.5,red,True\n2,blue,false\n,red,false\n\n1.5,,true\n"
    profile = build(write(tmp_path, "data.csv", text))
    assert summary(profile) == EXPECTED
    assert load_reference_file(tmp_path / "reference.json") == profile


def test_one_text_makes_a_csv_column_texts(tmp_path: Path) -> None:
    profile = build(write(tmp_path, "data.csv", "code\n007\nB12\n"))
    assert summary(profile) == {"code": ("text", (), ("007", "B12"), (1, 1, 0, 0))}


def test_jsonl_of_flat_objects(tmp_path: Path) -> None:
    text = "\n".join(orjson.dumps(row).decode() for row in ROWS)
    assert summary(build(write(tmp_path, "data.jsonl", text))) == EXPECTED


def test_jsonl_of_events_takes_the_rows_of_the_version(tmp_path: Path) -> None:
    event = {"prediction_id": "p", "model": "m", "model_version": "1", "timestamp_ms": 1, "task": "binary"}
    events = [{**event, "prediction": 1, "features": row} for row in ROWS]
    events += [{**events[0], "model_version": "2"}, {**events[0], "model": "n"}, {**event, "prediction": 0}]
    source = write(tmp_path, "data.jsonl", "\n".join(orjson.dumps(one).decode() for one in events))
    assert summary(build(source)) == EXPECTED
    assert build(source, model_version="*").rows == 5
    with pytest.raises(ConfigError, match="no rows with features"):
        build(source, model="unknown")


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "amount": pa.array([1.5, 2.0, None, 1.5]),
            "color": pa.array(["red", "blue", "red", None]).dictionary_encode(),
            "new": [True, False, False, True],
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    assert summary(build(tmp_path / "data.parquet")) == EXPECTED


def test_columns_narrow_the_features(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": [[1, 2]]}), tmp_path / "data.parquet")
    assert list(build(tmp_path / "data.parquet", columns=["a"]).features) == ["a"]
    assert list(build(write(tmp_path, "d.csv", "a,b\n1,2\n"), columns=["b"]).features) == ["b"]
    assert list(build(write(tmp_path, "d.jsonl", '{"a": 1, "b": [1]}'), columns=["a"]).features) == ["a"]
    with pytest.raises(ConfigError, match="'b' is list<"):
        build(tmp_path / "data.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", "a,b\n1,2\n1\n", r"d\.csv:3: 1 values under 2 columns"),
        ("d.csv", "a,a\n1,2\n", r"d\.csv:1: the header"),
        ("d.csv", 'a\n"1\n', "not csv"),
        ("d.csv", "", "no rows with features"),
        ("d.csv", "a\n", "no rows with features"),
        ("d.csv", ",".join(f"f{i}" for i in range(513)) + "\n" + ",".join("1" * 513) + "\n", "513 features"),
        ("d.jsonl", '{"a": 1}\n{"a": \n', r"d\.jsonl:2: not JSON"),
        ("d.jsonl", "[1]\n", r"d\.jsonl:1: not a JSON object"),
        ("d.jsonl", '{"a": 1}\n{"a": [1]}\n', r"d\.jsonl:2: feature 'a' is neither"),
        ("d.parquet", "text", "not parquet"),
        ("d.xlsx", "", "ending '.xlsx'"),
    ],
)
def test_faults_name_place_and_mend(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(write(tmp_path, name, content))
    assert not (tmp_path / "reference.json").exists()


@pytest.mark.parametrize(("name", "content"), [("d.csv", "a\n1\n"), ("d.jsonl", '{"a": 1}\n')])
def test_an_unknown_column_is_a_fault(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(ConfigError, match="'zzz'"):
        build(write(tmp_path, name, content), columns=["zzz"])


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        build(tmp_path / "gone.csv")
    (tmp_path / "d.csv").write_bytes(b"a\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        build(tmp_path / "d.csv")
    source = write(tmp_path, "ok.csv", "a\n1\n")
    with pytest.raises(ConfigError, match="can be written"):
        build_reference_file(
            source, tmp_path / "no" / "where.json", model="m", model_version="1", bins=10, max_categories=5
        )


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"driftline\[parquet\]"):
        build(write(tmp_path, "d.parquet", ""))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": "m"}', "null"])
def test_what_is_no_profile_is_a_fault(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match="driftline reference build"):
        load_reference_file(write(tmp_path, "reference.json", content))
    with pytest.raises(ConfigError, match="No such file"):
        load_reference_file(tmp_path / "gone.json")
