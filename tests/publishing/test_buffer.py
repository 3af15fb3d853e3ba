import threading
import time

from pipeline.publishing.buffer import RowBuffer


def make(capacity: int = 10, block_s: float = 0.0, rouse_rows: int = 5) -> tuple[RowBuffer[str], list[None]]:
    roused: list[None] = []
    return RowBuffer(capacity, block_s, rouse_rows, lambda: roused.append(None)), roused


def test_rows_count_against_the_bound_until_they_are_released() -> None:
    buffer, _ = make(capacity=3)
    assert [buffer.put(entry) for entry in "abcd"] == [True, True, True, False]
    assert buffer.take() == ["a", "b", "c"]
    assert not buffer.put("e")
    buffer.release(2)
    assert buffer.put("f", 2)
    assert buffer.take() == ["f"]
    assert (buffer.held_rows, buffer.dropped_rows, buffer.accepted_rows) == (3, 2, 5)


def test_the_first_row_after_a_doze_rouses_and_then_only_many() -> None:
    buffer, roused = make(capacity=100, rouse_rows=5)
    assert buffer.doze()
    buffer.put("a")
    assert len(roused) == 1
    for _ in range(4):
        buffer.put("b")
    assert len(roused) == 1
    buffer.put("c")
    assert len(roused) == 2
    assert not buffer.doze()  # there is something to take


def test_a_caller_waits_until_there_is_room() -> None:
    buffer, roused = make(capacity=1, block_s=30)
    buffer.put("a")
    buffer.take()
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(buffer.put("b")))
    before = len(roused)
    thread.start()
    while len(roused) == before:  # it asks for the sender, then waits
        time.sleep(0.001)
    assert not results
    buffer.release(1)
    thread.join(10)
    assert results == [True]
    assert buffer.take() == ["b"]


def test_closing_refuses_those_who_wait() -> None:
    buffer, roused = make(capacity=1, block_s=30)
    buffer.put("a")
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(buffer.put("b")))
    before = len(roused)
    thread.start()
    while len(roused) == before:
        time.sleep(0.001)
    buffer.close()
    thread.join(10)
    assert results == [False]
    assert not buffer.put("c")
    assert buffer.dropped_rows == 2


def test_a_signal_handler_may_log_while_its_thread_does() -> None:
    buffer, _ = make()
    with buffer._lock:  # as if interrupted inside put
        assert buffer.put("from the handler")
