from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.dictionary import NO_CODE, Dictionary

words = st.sampled_from("abcdefgh")


def test_a_value_keeps_its_code() -> None:
    dictionary: Dictionary[str] = Dictionary(10)
    assert dictionary.encode(["x", "y", "x"]).tolist() == [0, 1, 0]
    assert dictionary.code("y") == 1
    assert dictionary.values == ["x", "y"]


def test_a_full_dictionary_knows_the_old_and_refuses_the_new() -> None:
    dictionary: Dictionary[str] = Dictionary(2)
    assert dictionary.encode(["a", "b", "c", "a", "c"]).tolist() == [0, 1, NO_CODE, 0, NO_CODE]
    assert dictionary.values == ["a", "b"]


def test_each_value_is_handed_to_the_changelog_once() -> None:
    dictionary: Dictionary[str] = Dictionary(10)
    dictionary.encode(["a", "b"])
    assert dictionary.take_new() == (0, ["a", "b"])
    assert dictionary.take_new() == (2, [])
    dictionary.encode(["b", "c"])
    assert dictionary.take_new() == (2, ["c"])


@given(st.lists(st.lists(words)), st.integers(1, 8), st.lists(words))
def test_what_is_restored_goes_on_as_the_live_one_does(batches: list[list[str]], limit: int, more: list[str]) -> None:
    live: Dictionary[str] = Dictionary(limit)
    restored: Dictionary[str] = Dictionary(limit)
    for batch in batches:
        live.encode(batch)
        restored.restore(*live.take_new())
    assert restored.values == live.values
    assert restored.take_new() == (len(live.values), [])
    assert restored.encode(more).tolist() == live.encode(more).tolist()
    assert restored.take_new() == live.take_new()


def test_restoring_a_part_again_replaces_it() -> None:
    dictionary: Dictionary[str] = Dictionary(10)
    dictionary.restore(0, ["a", "b"])
    dictionary.restore(1, ["c"])
    assert dictionary.values == ["a", "c"]
    assert dictionary.encode(["a", "c", "b"]).tolist() == [0, 1, 2]
