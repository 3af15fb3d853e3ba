from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.core.events import FeatureColumn, Group, Task
from pipeline.core.reference import ReferenceProfile, build_profile
from pipeline.processors.references import ReferenceBook, reference_records


def profile_of(model: str = "m", version: str = "1", first: float = 0.0) -> ReferenceProfile:
    column = FeatureColumn(np.arange(first, first + 50))
    return build_profile({"x": column}, model=model, model_version=version, rows=50, bins=5, max_categories=5)


def teach(book: ReferenceBook, profile: ReferenceProfile) -> None:
    for record in reference_records(profile):
        book.learn(record.value or b"")


def group(model: str = "m", version: str = "1") -> Group:
    return Group(model, version, Task.BINARY)


def test_a_given_profile_wins_over_one_for_all_versions_and_that_over_a_learned_one() -> None:
    exact, every, learned = profile_of(first=1), profile_of(first=2), profile_of(first=3)
    book = ReferenceBook({("m", "1"): exact, ("m", "*"): every})
    teach(book, learned)
    teach(book, profile_of("n", first=4))
    assert book.get(group()) == exact
    assert book.get(group(version="2")) == every
    assert book.get(group("n")) == profile_of("n", first=4)
    assert book.get(group("n", "2")) is None


def test_the_first_profile_of_a_version_stays() -> None:
    book = ReferenceBook()
    teach(book, profile_of(first=1))
    assert book.version == 1
    teach(book, profile_of(first=2))
    assert book.get(group()) == profile_of(first=1)
    assert book.version == 1


@pytest.mark.parametrize(
    "value",
    [b"", b"null", b"[]", b"{", b'{"model":"m"}', b'{"model":"m","model_version":"1","part":0,"parts":1,"id":"x"}'],
)
def test_a_foreign_record_stops_nobody_and_is_counted(value: bytes) -> None:
    book = ReferenceBook()
    book.learn(value)
    assert (book.unreadable, book.version) == (1, 0)
    teach(book, profile_of())
    assert book.get(group()) == profile_of()


def test_an_edited_profile_is_not_believed() -> None:
    (record,) = reference_records(profile_of())
    edited: Any = orjson.loads(record.value or b"")
    edited["features"]["x"]["bounds"][0] += 1
    book = ReferenceBook()
    book.learn(orjson.dumps(edited))
    assert (book.unreadable, book.get(group())) == (1, None)


def test_keys_tell_names_apart_that_read_alike() -> None:
    """Compaction keeps one record a key: "a|b" version "c" must not remove "a" version "b|c"."""
    keys = {
        record.key
        for profile in (profile_of("a|b", "c"), profile_of("a", "b|c"))
        for record in reference_records(profile)
    }
    assert len(keys) == 2
