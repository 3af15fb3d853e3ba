"""The monitored model: a small neural network trained on scikit-learn's scanned digits, the same at every run."""

import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from pipeline.demo.features import Image

_SEED = 7
_HELD_OUT_SHARE = 0.4
_LAYERS = (128, 64)
_EPOCHS = 80
_MAX_PIXEL = 16.0


@dataclass(frozen=True, slots=True)
class Digits:
    """The scanned digits, split once and for all.

    Attributes:
        train_images: float64[n, 64], intensities from 0 to 1.
        train_labels: int64[n], the digits.
        held_out_images: float64[m, 64], never seen in training.
        held_out_labels: int64[m].
    """

    train_images: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    held_out_images: NDArray[np.float64]
    held_out_labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Model:
    """The trained network and what is known of it.

    Attributes:
        network: the fitted classifier.
        train_accuracy: share of right answers on the training images.
        test_accuracy: share of right answers on the held-out images.
        parameter_count: weights and biases.
        parameter_bytes: their size in memory.
        config: the training's settings.
        dependencies: the versions it was trained with.
    """

    network: MLPClassifier
    train_accuracy: float
    test_accuracy: float
    parameter_count: int
    parameter_bytes: int
    config: dict[str, Any]
    dependencies: dict[str, str]

    def predict(self, image: Image) -> tuple[int, NDArray[np.float64]]:
        """Recognise one digit.

        Args:
            image: float64[64], intensities from 0 to 1.

        Returns:
            The most probable digit, and float64[10], the probability of each digit.
        """
        probabilities = self.network.predict_proba(image.reshape(1, -1))[0]
        return int(probabilities.argmax()), probabilities


def load_data() -> Digits:
    """Read the digits that scikit-learn brings along and split them, always the same way.

    Returns:
        The training and the held-out images with their digits.
    """
    images, labels = load_digits(return_X_y=True)
    train_images, held_out_images, train_labels, held_out_labels = train_test_split(
        images / _MAX_PIXEL, labels, test_size=_HELD_OUT_SHARE, random_state=_SEED, stratify=labels
    )
    return Digits(train_images, train_labels, held_out_images, held_out_labels)


def train(data: Digits) -> Model:
    """Train the network; takes about a second.

    Args:
        data: the split digits.

    Returns:
        The trained model.
    """
    network = MLPClassifier(_LAYERS, max_iter=_EPOCHS, random_state=_SEED)
    # Threads cost more than they bring for matrices this small, above all on a busy machine.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A fixed number of epochs is what is wanted; whether the loss could still fall is of no interest here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(data.train_images, data.train_labels)
    parameters = [*network.coefs_, *network.intercepts_]
    return Model(
        network=network,
        train_accuracy=float(network.score(data.train_images, data.train_labels)),
        test_accuracy=float(network.score(data.held_out_images, data.held_out_labels)),
        parameter_count=sum(int(array.size) for array in parameters),
        parameter_bytes=sum(int(array.nbytes) for array in parameters),
        config={"hidden_layers": list(_LAYERS), "epochs": _EPOCHS, "seed": _SEED},
        dependencies={name: version(name) for name in ("scikit-learn", "numpy")},
    )
