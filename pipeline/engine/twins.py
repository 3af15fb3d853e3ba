"""Two live workers of one name: they fence each other in turns, where a lone zombie is fenced once."""

from collections import deque

from pipeline.core.errors import FencedError, StartupError

LIMIT, WITHIN_S = 3, 60.0


class TwinCheck:
    """Counts fencings.

    Args:
        name: the worker's name, for the message.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._fenced_s: deque[float] = deque(maxlen=LIMIT)

    def fenced(self, now_s: float, error: FencedError) -> None:
        """Note a fencing.

        Args:
            now_s: a clock for durations.
            error: what told of it.

        Raises:
            StartupError: there were so many in so short a time that another worker has this name.
        """
        self._fenced_s.append(now_s)
        if len(self._fenced_s) == LIMIT and self._fenced_s[-1] - self._fenced_s[0] < WITHIN_S:
            raise StartupError(
                f"fenced {LIMIT} times within {WITHIN_S:.0f} s: two workers share the name {self._name!r}; give each"
                " its own worker.name (or, if there is one only, raise engine.transaction_timeout: commits outlast it)"
            ) from error
