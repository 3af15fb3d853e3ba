"""How many partitions each topic has: asked beside the sender's thread, which must not wait for an absent Kafka."""

from collections.abc import Callable, Iterable, Mapping
from threading import Thread
from time import monotonic

_RETRY_S = 0.5
_AGE_S = 60.0


class Partitions:
    """What is known, and what is to be asked again.

    Args:
        ask: asks Kafka for a topic's partition count, for a bounded time; None when it does not say. Called in a thread
            of this object.
        told: called, in that thread, when there is news.
    """

    def __init__(self, ask: Callable[[str], int | None], told: Callable[[], None]) -> None:
        self._ask = ask
        self._told = told
        self._known: dict[str, int] = {}
        self._wanted_s: dict[str, float] = {}  # topic to when it was first asked for in vain
        self._asked_s: dict[str, float] = {}
        self._asking: Thread | None = None

    @property
    def known(self) -> Mapping[str, int]:
        """The topic's name in the contract to its number of partitions."""
        return self._known

    def unknown_s(self, topic: str) -> float:
        """For how long a topic's count has been wanted in vain; 0 when it is known or nobody asked.

        Args:
            topic: the name in the contract.
        """
        return monotonic() - self._wanted_s[topic] if topic in self._wanted_s else 0.0

    def learn(self, topics: Iterable[str], *, refresh: bool) -> None:
        """Have asked what is not known, now and then, and what was learned long ago.

        Args:
            topics: the names in the contract that are needed.
            refresh: whether old knowledge is worth a question.
        """
        if self._asking is not None and self._asking.is_alive():
            return
        now_s = monotonic()
        due = []
        for topic in {*topics, *self._known}:
            known = topic in self._known
            if not known:
                self._wanted_s.setdefault(topic, now_s)
            elif not refresh:
                continue
            if now_s - self._asked_s.get(topic, -_AGE_S) >= (_AGE_S if known else _RETRY_S):
                due.append(topic)
                self._asked_s[topic] = now_s
        if due:
            self._asking = Thread(target=self._ask_all, args=(due,), name="driftline-publisher-topics", daemon=True)
            self._asking.start()

    def forget(self, topic: str) -> None:
        """Take a count for outdated.

        Args:
            topic: the name in the contract.
        """
        self._known = {name: count for name, count in self._known.items() if name != topic}

    def _ask_all(self, topics: Iterable[str]) -> None:
        for topic in topics:
            count = self._ask(topic)
            self._asked_s[topic] = monotonic()
            if count is not None:
                # A new mapping: the sender may be reading the old one.
                self._known = {**self._known, topic: count}
                self._wanted_s.pop(topic, None)
        self._told()
