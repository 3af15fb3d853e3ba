"""What a process owes its senders: their rows at exit, and a clean slate in a forked child."""

import atexit
import os

from pipeline.publishing.sender import Sender

_EXIT_TIMEOUT_S = 5.0

_living: set[Sender] = set()


def enrol(sender: Sender) -> None:
    """Look after a sender until ``discharge``, or until it has ended by itself.

    Args:
        sender: the sender.
    """
    _living.difference_update([known for known in _living if known.is_closing and not known.is_running])
    _living.add(sender)


def discharge(sender: Sender) -> None:
    """Stop looking after a sender that was closed.

    Args:
        sender: the sender; one that is not enrolled is fine.
    """
    _living.discard(sender)


def _close_all() -> None:
    senders = tuple(_living)
    for sender in senders:
        sender.close_soon(_EXIT_TIMEOUT_S)
    for sender in senders:
        # They close side by side, so the whole wait is that of one.
        sender.close(_EXIT_TIMEOUT_S)


def _begin_anew() -> None:
    for sender in tuple(_living):
        if sender.is_closing:
            _living.discard(sender)
        sender.after_fork_in_child()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_begin_anew)
