"""The one place that sets up logging: plain lines on standard error, and quiet libraries."""

import logging
import sys
import time

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


def setup_logging(level: str) -> None:
    """Make all loggers write to standard error, in UTC. Calling it again changes the level.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; libraries speak at ``debug`` only.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(logging.INFO if level == "debug" else least)
