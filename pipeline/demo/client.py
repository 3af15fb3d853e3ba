"""The client process: steady traffic of held-out images, true labels seconds later, and from one moment on a shift."""

import argparse
import asyncio
import heapq
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import numpy as np

from pipeline.config import load_config
from pipeline.demo.features import Image
from pipeline.demo.model import Digits, load_data
from pipeline.demo.settings import NAME
from pipeline.demo.shift import shifted
from pipeline.publisher import Publisher

LABEL_DELAY_S = (1.0, 4.0)
"""A true label follows its prediction after a time drawn evenly from this range."""

LABELLED_SHARE = 0.95
"""Some truths never become known."""

_SEED = 11
_MAX_IN_FLIGHT = 64
_REPORT_EVERY_S = 1.0
_REQUEST_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Counts:
    """What the client itself knows, for the parent to hold against what came out of Kafka.

    Attributes:
        sent: images sent.
        answered: answers that came back.
        failed: requests without a usable answer.
        labels: true labels published.
        right_before: right answers on unshifted images.
        answered_before: answers on unshifted images.
        right_after: right answers on shifted images.
        answered_after: answers on shifted images.
        shifted_at_ms: when the first shifted image was sent, epoch milliseconds; None before.
    """

    sent: int = 0
    answered: int = 0
    failed: int = 0
    labels: int = 0
    right_before: int = 0
    answered_before: int = 0
    right_after: int = 0
    answered_after: int = 0
    shifted_at_ms: int | None = None


@dataclass(slots=True)
class Client:
    """One run of traffic.

    Attributes:
        url: where to send images.
        publisher: where true labels go: another system than the server learns the truth.
        data: the digits.
        rate_per_s: images a second.
        shift_after_s: seconds from the start until images are shifted.
        counts: what happened so far.
    """

    url: str
    publisher: Publisher
    data: Digits
    rate_per_s: float
    shift_after_s: float
    counts: Counts = field(default_factory=Counts)
    _due: list[tuple[float, str, int]] = field(default_factory=list)
    # Two streams of chance, so that the images do not depend on how fast answers come back.
    _image_rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(_SEED))
    _label_rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(_SEED + 1))

    async def run(self, stop: asyncio.Event) -> None:
        """Send images, labels and reports until told to stop.

        Args:
            stop: set when the run is over.
        """
        timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            group.create_task(self._send(session, stop))
            group.create_task(self._label(stop))
            group.create_task(self._report(stop))

    async def _send(self, session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        started = time.monotonic()
        slots = asyncio.Semaphore(_MAX_IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            number = 0
            while not stop.is_set():
                # The schedule is by number, not by the last sleep, so the rate holds over any hiccup.
                await _sleep_until(started + number / self.rate_per_s)
                await slots.acquire()
                image, label = self._next_image(time.monotonic() - started)
                is_shifted = self.counts.shifted_at_ms is not None
                task = group.create_task(self._ask(session, image, label, is_shifted=is_shifted))
                task.add_done_callback(lambda _: slots.release())
                number += 1

    def _next_image(self, elapsed_s: float) -> tuple[Image, int]:
        index = int(self._image_rng.integers(len(self.data.held_out_labels)))
        image, label = self.data.held_out_images[index], int(self.data.held_out_labels[index])
        self.counts.sent += 1
        if elapsed_s < self.shift_after_s:
            return image, label
        if self.counts.shifted_at_ms is None:
            self.counts.shifted_at_ms = time.time_ns() // 1_000_000
        return shifted(image, self._image_rng), label

    async def _ask(self, session: aiohttp.ClientSession, image: Image, label: int, *, is_shifted: bool) -> None:
        try:
            async with session.post(self.url, json={"image": image.tolist()}) as response:
                response.raise_for_status()
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError):
            self.counts.failed += 1
            return
        right = int(answer["digit"] == label)
        self.counts.answered += 1
        if is_shifted:
            self.counts.answered_after += 1
            self.counts.right_after += right
        else:
            self.counts.answered_before += 1
            self.counts.right_before += right
        if self._label_rng.random() < LABELLED_SHARE:
            due = time.monotonic() + self._label_rng.uniform(*LABEL_DELAY_S)
            heapq.heappush(self._due, (due, answer["prediction_id"], label))

    async def _label(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            while self._due and self._due[0][0] <= time.monotonic():
                _, prediction_id, label = heapq.heappop(self._due)
                self.publisher.log_label(model=NAME, prediction_id=prediction_id, label=label)
                self.counts.labels += 1
            await asyncio.sleep(0.02)

    async def _report(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(_REPORT_EVERY_S)
            report(self.counts)


def report(counts: Counts) -> None:
    """Write the counts as one JSON line for the parent process.

    Args:
        counts: what happened so far.
    """
    sys.stdout.write(json.dumps(asdict(counts)) + "\n")
    sys.stdout.flush()


async def _sleep_until(moment_s: float) -> None:
    # Also yields when the moment has passed, so that answers are read while catching up.
    await asyncio.sleep(max(0.0, moment_s - time.monotonic()))


async def _run(client: Client) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await client.run(stop)


def main() -> None:
    """Send traffic until SIGTERM; counts go to stdout as JSON lines, the last when all is flushed."""
    parser = argparse.ArgumentParser(description="Send the demo's traffic.")
    parser.add_argument("--config", type=Path, required=True, help="the driftline.toml that says where Kafka is")
    parser.add_argument("--url", required=True, help="where to POST images")
    parser.add_argument("--rate", type=float, required=True, help="images a second")
    parser.add_argument("--shift-after", type=float, required=True, help="seconds until the inputs shift")
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    with Publisher(config.kafka.bootstrap_servers, config=config) as publisher:
        client = Client(arguments.url, publisher, load_data(), arguments.rate, arguments.shift_after)
        asyncio.run(_run(client))
    report(client.counts)


if __name__ == "__main__":
    main()
