"""The traffic is the same at every run, and it shifts when told."""

import numpy as np

from pipeline.demo.client import Client
from pipeline.demo.model import Digits
from pipeline.publisher import Publisher


def _client(data: Digits) -> Client:
    # Nothing is sent: the publisher connects with its first row.
    return Client("http://127.0.0.1:1/predict", Publisher("127.0.0.1:1"), data, rate_per_s=100, shift_after_s=10)


def _is_held_out(image: np.ndarray, data: Digits) -> bool:
    return any(np.array_equal(image, known) for known in data.held_out_images)


def test_two_runs_send_the_same_images(data: Digits) -> None:
    first, second = _client(data), _client(data)
    for elapsed_s in (0.0, 1.0, 11.0, 12.0):
        (image, label), (other_image, other_label) = first._next_image(elapsed_s), second._next_image(elapsed_s)
        assert np.array_equal(image, other_image)
        assert label == other_label


def test_inputs_shift_at_the_given_moment_and_not_before(data: Digits) -> None:
    client = _client(data)
    assert all(_is_held_out(client._next_image(elapsed_s)[0], data) for elapsed_s in np.linspace(0, 9.99, 20))
    before_ms = client.counts.shifted_at_ms
    assert not any(_is_held_out(client._next_image(elapsed_s)[0], data) for elapsed_s in np.linspace(10, 20, 20))
    assert (before_ms, client.counts.shifted_at_ms) != (None, None)
    assert before_ms is None
    assert client.counts.sent == 40
