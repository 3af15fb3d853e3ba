from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.dictionary import NO_CODE
from pipeline.processors.classes import ClassCodes

models = st.sampled_from("mn")
names = st.sampled_from(["1", "2", "cat", "dog", "1.5"])


def test_a_class_is_one_however_it_came() -> None:
    codes = ClassCodes(10)
    assert codes.code("m", "1") == codes.code_of_number("m", 1.0) == 0
    assert codes.code_of_number("m", -2.0) == codes.code("m", "-2") == 1
    assert codes.names == ["1", "-2"]


def test_a_model_with_too_many_classes_takes_none_from_the_others() -> None:
    codes = ClassCodes(2)
    assert [codes.code("junk", f"c{number}") for number in range(4)] == [0, 1, NO_CODE, NO_CODE]
    assert codes.code("fine", "yes") == 2
    assert codes.code("junk", "c1") == 1
    assert codes.code_of_number("junk", 7.0) == NO_CODE


def test_numbers_that_name_no_class_leave_no_trace() -> None:
    """Labels of a class model that are floats, each another: nothing must be remembered of them."""
    codes = ClassCodes(3)
    for number in range(1_000):
        assert codes.code_of_number("m", number + 0.5) == NO_CODE
    assert [codes.code_of_number("m", float(number)) for number in range(1_000)][3:] == [NO_CODE] * 997
    assert codes.names == ["0", "1", "2"]
    assert len(codes._numbers) == 3


@given(st.lists(st.lists(st.tuples(models, names))), st.lists(st.tuples(models, names)), st.integers(1, 4))
def test_what_is_restored_goes_on_as_the_live_one_does(
    batches: list[list[tuple[str, str]]], more: list[tuple[str, str]], limit: int
) -> None:
    live, restored = ClassCodes(limit), ClassCodes(limit)
    for batch in batches:
        for pair in batch:
            live.code(*pair)
        restored.restore(*live.take_new())
    assert [live.code(*pair) for pair in more] == [restored.code(*pair) for pair in more]
    assert live.names == restored.names
    assert live.take_new() == restored.take_new()
