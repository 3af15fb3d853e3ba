import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.processors.pairs import encode_pairs


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=40))
def test_each_row_gets_its_pairs_code_and_each_pair_is_asked_for_once_in_its_turn(pairs: list[tuple[int, int]]) -> None:
    asked: list[tuple[int, int]] = []

    def code_of(major: int, minor: int) -> int:
        asked.append((major, minor))
        return 100 * major + minor

    columns = np.array(pairs, np.int64).reshape(-1, 2)
    codes = encode_pairs(columns[:, 0], columns[:, 1], 7, code_of)
    assert codes.tolist() == [100 * major + minor for major, minor in pairs]
    assert asked == list(dict.fromkeys(pairs))
