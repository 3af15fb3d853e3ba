"""The demo's model is good on what it was made for, and really worse on what shifts."""

import numpy as np
import pytest

from pipeline.demo.features import input_features
from pipeline.demo.model import Digits, Model
from pipeline.demo.shift import shifted


def test_held_out_digits_are_recognised(model: Model) -> None:
    assert model.test_accuracy > 0.95
    assert model.train_accuracy >= model.test_accuracy


def test_one_image_is_predicted_as_in_the_batch(model: Model, data: Digits) -> None:
    batch = model.network.predict(data.held_out_images[:50])
    for image, expected in zip(data.held_out_images[:50], batch, strict=True):
        digit, probabilities = model.predict(image)
        assert digit == expected
        assert probabilities.sum() == pytest.approx(1.0)


def test_no_held_out_image_was_trained_on(data: Digits) -> None:
    trained = {image.tobytes() for image in data.train_images}
    assert not any(image.tobytes() in trained for image in data.held_out_images)


def test_accuracy_falls_under_the_shift(model: Model, data: Digits) -> None:
    rng = np.random.default_rng(0)
    images = np.array([shifted(image, rng) for image in data.held_out_images])
    assert model.network.score(images, data.held_out_labels) < 0.65


def test_most_features_move_under_the_shift(data: Digits) -> None:
    rng = np.random.default_rng(0)
    before = [input_features(image) for image in data.held_out_images]
    after = [input_features(shifted(image, rng)) for image in data.held_out_images]
    moved = []
    for name in before[0]:
        old, new = (np.array([features[name] for features in rows]) for rows in (before, after))
        # The population stability index over the deciles of the old values, as the monitor uses.
        edges = np.quantile(old, np.linspace(0, 1, 11))[1:-1]
        p, q = (np.bincount(np.searchsorted(edges, values), minlength=10) / len(values) + 1e-4 for values in (old, new))
        if float(((q - p) * np.log(q / p)).sum()) > 0.25:
            moved.append(name)
    assert len(moved) >= 5, moved


def test_a_shifted_image_stays_an_image(data: Digits) -> None:
    image = shifted(data.held_out_images[0], np.random.default_rng(0))
    assert image.shape == (64,)
    assert image.min() >= 0
    assert image.max() <= 1


def test_the_shift_repeats_with_its_seed(data: Digits) -> None:
    first, second = (shifted(data.held_out_images[3], np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_blank_image_has_finite_features() -> None:
    features = input_features(np.zeros(64))
    assert all(np.isfinite(value) for value in features.values())
    assert features["ink_ratio"] == 0


def test_centre_of_mass_points_where_the_ink_is() -> None:
    grid = np.zeros((8, 8))
    grid[0, 7] = 1.0  # top right
    features = input_features(grid.ravel())
    assert features["centre_x"] == pytest.approx(3.5)
    assert features["centre_y"] == pytest.approx(-3.5)
    assert features["spread"] == pytest.approx(0.0)
