"""The class names of a partition's models, as numbers: each model has its own limit, so that none spoils another's."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline.core.codec import class_name
from pipeline.core.dictionary import NO_CODE


class ClassCodes:
    """Codes by (model, class name).

    Args:
        limit: how many classes a model may have.
    """

    def __init__(self, limit: int) -> None:
        self.names: list[str] = []
        """The class name of each code."""
        self._models: list[str] = []
        self._codes: dict[tuple[str, str], int] = {}
        self._numbers: dict[tuple[str, float], int] = {}
        self._count: Counter[str] = Counter()
        self._limit = limit
        self._written = 0

    def code(self, model: str, name: str) -> int:
        """The code of a class.

        Args:
            model: whose class it is.
            name: its name.

        Returns:
            The code; ``NO_CODE`` for a new name of a model that has as many as it may.
        """
        code = self._codes.get((model, name))
        if code is None:
            if self._count[model] >= self._limit:
                return NO_CODE
            code = self._add(model, name)
        return code

    def code_of_number(self, model: str, number: float) -> int:
        """The code of a class that came as a number.

        Args:
            model: whose class it is.
            number: finite.

        Returns:
            The code; ``NO_CODE`` for a fraction, which names no class, and where ``code`` gives it.
        """
        known = self._numbers.get((model, number))
        if known is not None:
            return known
        if not number.is_integer():
            return NO_CODE
        code = self.code(model, class_name(int(number)))
        if code != NO_CODE:  # as many as there are classes: what names none must not fill memory
            self._numbers[model, number] = code
        return code

    def take_new(self) -> tuple[int, Sequence[tuple[str, str]]]:
        """The (model, name) pairs added since the last call, and the first one's code."""
        first, self._written = self._written, len(self.names)
        return first, list(zip(self._models[first:], self.names[first:], strict=True))

    def restore(self, first: int, pairs: Iterable[tuple[str, str]]) -> None:
        """Put back what ``take_new`` gave, in the order of the codes.

        Args:
            first: the first code.
            pairs: (model, name).
        """
        assert first == len(self.names)  # noqa: S101 - a gap would give every later class another's code
        for model, name in pairs:
            self._add(model, name)
        self._written = len(self.names)

    def _add(self, model: str, name: str) -> int:
        code = self._codes[model, name] = len(self.names)
        self.names.append(name)
        self._models.append(model)
        self._count[model] += 1
        return code
