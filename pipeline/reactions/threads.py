"""Blocking work beside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run something that blocks in a thread that does not hold up the end of the process.

    Args:
        work: what to run.

    Returns:
        What it returned.

    Raises:
        Exception: what it raised.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Callable[[], None]) -> None:
        if not future.done():
            result()

    def run() -> None:
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - handed to the caller
            failed = error
            loop.call_soon_threadsafe(settle, lambda: future.set_exception(failed))
        else:
            loop.call_soon_threadsafe(settle, lambda: future.set_result(value))

    threading.Thread(target=run, daemon=True).start()
    return await future
