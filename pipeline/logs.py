"""The one place that sets up logging: plain lines on standard error, quiet libraries, no floods."""

import logging
import sys
import time
from collections.abc import Callable

from mode import get_logger

SERVICE_LOGGER = get_logger("faust.driftline")
"""What our services hand to mode, which would tell of each start and stop under our own names."""

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

# aiokafka tells of every step of a rebalance; its coordinator calls errors what it mends by itself.
_QUIET = {
    "aiohttp": logging.ERROR,
    "aiokafka": logging.ERROR,
    "aiokafka.consumer.group_coordinator": logging.CRITICAL,
    "asyncio": logging.ERROR,
    "faust": logging.ERROR,
    "mode": logging.ERROR,
    "numba": logging.WARNING,
}

_FLOODING = ("aiokafka", "driftline.engine")
"""Loggers through which Kafka clients tell of each attempt to reach a broker that is away: a hundred a second."""


class FloodGate(logging.Filter):
    """Lets each kind of line from a Kafka client through a few times, then tells how many it left out.

    Args:
        lines: how many lines of a kind pass in each period.
        period_s: the period, in seconds.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, lines: int = 3, period_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._lines = lines
        self._period_s = period_s
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about a line; one that ends a silence says how long it was.

        Args:
            record: the line.

        Returns:
            Whether it is written.
        """
        if not record.name.startswith(_FLOODING):
            return True
        kind = (record.name, str(record.msg))
        now_s = self._clock()
        since_s, count = self._seen.get(kind, (now_s, 0))
        left_out = count - self._lines
        if now_s - since_s >= self._period_s:
            since_s, count = now_s, 0
            if left_out > 0:
                record.msg, record.args = f"{record.getMessage()} (and {left_out} lines like this)", ()
        self._seen[kind] = (since_s, count + 1)
        return count < self._lines


def setup_logging(level: str) -> None:
    """Make all loggers write to standard error, in UTC. Calling it again changes the level.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; libraries speak, and repeat themselves, at ``debug`` only.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    if level != "debug":
        handler.addFilter(FloodGate())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(logging.INFO if level == "debug" else least)
