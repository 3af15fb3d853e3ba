"""What publishers write in one seed's run: duplicates, disorder, corrections, early and hopeless labels, bad rows.

One thing is kept from happening, because there the moment of arrival matters by design: an event that is far older than
the clock, after a silence so long that the topic partition already follows the clock. Before such an event a fresh one
is written, as the busy topic would have had.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tests.simulation.cluster import Cluster
from tests.simulation.shape import DAY_MS, Model, Shape
from tests.simulation.world import World

Event = dict[str, Any]
SLACK_MS = 1_800
"""How long a record may lie unread by a worker that is well, and how far the workers' clocks may be off."""
NAMES = {"binary": [0, 1, True, "0"], "multiclass": ["a", "b", "c", 7, "7"]}


@dataclass
class Arrival:
    """One event on its way."""

    at_s: float
    topic: str
    partition: int
    event: Event


class Workload:
    """Draws a run's events and writes them as time goes by."""

    def __init__(self, world: World, cluster: Cluster, shape: Shape) -> None:
        self._world, self._cluster, self._shape = world, cluster, shape
        self._rng = random.Random(f"workload {shape.seed}")
        self._newest: dict[tuple[str, int], int] = {}
        self._partition_of: dict[str, int] = {}
        self._busy = self._rng.sample(range(shape.partitions), self._rng.randrange(1, shape.partitions + 1))
        self.written = 0
        self.last_s = 0.0

    def start(self) -> None:
        """Write history at once, and have the rest written when its time comes."""
        shape, rng = self._shape, self._rng
        events = [*self._predictions_and_labels(), *self._readings()]
        for batch in self._batches(sorted(events, key=lambda one: one.at_s)):
            at_s = max(one.at_s for one in batch)
            if shape.history and at_s < shape.live_s / 2:
                self._write(batch, history=True)
            else:
                self.last_s = max(self.last_s, at_s)
                self._world.at(at_s, self._writer(batch))
        for model in shape.models:
            for version in model.versions[: rng.randrange(3)]:
                self._register(model, version)

    def _writer(self, batch: Sequence[Arrival]) -> Callable[[], None]:
        def write() -> None:
            # A publisher waits for a cluster that is away.
            if self._cluster.away:
                self._world.at(0.3, write)
                self.last_s = max(self.last_s, self._world.now_s + 0.3)
            else:
                self._write(batch)

        return write

    # --- events --------------------------------------------------------------------------------------------------

    def _time_ms(self, at_s: float) -> int:
        """A moment of the workload as event time; history happened in slow motion before the start."""
        shape = self._shape
        stretched_s = at_s
        if shape.history and at_s < shape.live_s / 2:
            stretched_s = (at_s - shape.live_s / 2) * 15 - 20
        return self._world.now_ms + int(stretched_s * 1_000)

    def _place(self, name: str) -> int:
        if name not in self._partition_of:
            self._partition_of[name] = self._rng.choice(self._busy)
        return self._partition_of[name]

    def _predictions_and_labels(self) -> list[Arrival]:
        shape, rng, found = self._shape, self._rng, []
        for number in range(shape.predictions):
            model = rng.choice(shape.models)
            name = f"p{number}" if rng.random() < 0.96 else f"p{rng.randrange(number + 1)}"
            at_s = rng.random() * shape.live_s
            time_ms = self._time_ms(at_s) - self._delay_ms()
            for version in rng.choices(model.versions, k=1) if rng.random() < 0.7 else model.versions:
                event = self._prediction(model, version, name, time_ms)
                found.append(Arrival(at_s + rng.random() * 0.3, "predictions", self._place(name), event))
                if rng.random() < 0.08:  # again, mostly soon
                    again_s = at_s + rng.random() * rng.choice([1, 5, shape.horizon_ms / 500])
                    later_ms = rng.choice([0, 700, 2 * shape.horizon_ms])
                    again_s += later_ms / 1_000
                    moved = {**event, "timestamp_ms": time_ms + later_ms}
                    found.append(Arrival(again_s, "predictions", self._place(name), moved))
            found += self._labels(model, name, at_s, time_ms)
        for number in range(rng.randrange(4)):  # for predictions that nobody made
            at_s = rng.random() * shape.live_s
            found += self._labels(rng.choice(shape.models), f"nobody{number}", at_s, self._time_ms(at_s))
        return found

    def _delay_ms(self) -> int:
        """How long an event was on its way: a moment, beyond the lateness that is allowed, or hopelessly long."""
        shape, rng = self._shape, self._rng
        most = rng.choice([300, 300, 300, 300, 300, 300, 2 * shape.lateness_ms, shape.horizon_ms + 3_000])
        return int(rng.random() * most)

    def _labels(self, model: Model, name: str, at_s: float, time_ms: int) -> list[Arrival]:
        shape, rng, found = self._shape, self._rng, []
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            most = rng.choice([-shape.early_ms, 500, 2_000, shape.horizon_ms, shape.horizon_ms + 2_000])
            delay_ms = int(rng.random() * most)
            label_s = max(0.0, at_s + delay_ms / 1_000 + rng.random() * 0.3)
            if rng.random() < 0.1:  # a late one
                label_s += rng.random() * 3
            event = {
                "prediction_id": name,
                "model": model.name,
                "timestamp_ms": time_ms + delay_ms,
                "label": self._label(model),
            }
            found.append(Arrival(label_s, "labels", self._place(name), event))
            if rng.random() < 0.06:
                found.append(Arrival(label_s + rng.random(), "labels", self._place(name), dict(event)))
        return found

    def _readings(self) -> list[Arrival]:
        shape, rng, found = self._shape, self._rng, []
        for host in shape.hosts:
            at_s = rng.random()
            while at_s < shape.live_s:
                metrics = {"cpu.usage_ratio": rng.randrange(128) / 128, "memory.used_bytes": rng.randrange(10**9)}
                event: Event = {
                    "host": host,
                    "timestamp_ms": self._time_ms(at_s) - self._delay_ms(),
                    "metrics": metrics,
                }
                if rng.random() < 0.2:
                    metrics["gpu.0.usage_ratio"] = rng.random()
                found.append(Arrival(at_s, "resources", self._place(host), event))
                at_s += 0.5 + rng.random() * 3
        return found

    def _prediction(self, model: Model, version: str, name: str, time_ms: int) -> Event:
        rng = self._rng
        event: Event = {
            "prediction_id": name,
            "model": model.name,
            "model_version": version,
            "timestamp_ms": time_ms,
            "task": model.task,
            "prediction": self._guess(model),
        }
        if model.task == "multiclass":
            event |= self._scores(f"{version} {name} {time_ms}")
        if model.task == "binary":
            event["score"] = self._score(f"{version} {name} {time_ms}")
        if model.features and rng.random() < 0.9:
            event["features"] = {
                "amount": rng.choice([rng.gauss(0, 1), float(rng.randrange(3))]),
                "kind": rng.choice(["x", "y", "z", "rare", None]),
            }
        if model.segments and rng.random() < 0.6:
            event["segments"] = {"country": rng.choice(["DE", "FR", None]), "new": rng.choice([True, False])}
        if model.latency and rng.random() < 0.9:
            event["latency_ms"] = rng.choice([None, rng.random() * 10])
        return event

    def _score(self, which: str) -> float | None:
        """The probability of the positive class, mostly; drawn apart likewise."""
        rng = random.Random(f"score {self._shape.seed} {which}")
        return rng.choice([None, 0.0, 1.0, 0.25, rng.random(), rng.random()])

    def _scores(self, which: str) -> Event:
        """The probabilities of some classes, mostly; drawn apart, so that no seed's other events depend on them."""
        rng = random.Random(f"scores {self._shape.seed} {which}")
        if rng.random() < 0.3:
            return {}
        return {"scores": {name: rng.choice([None, 0.0, 0.25, rng.random()]) for name in rng.sample("abc7", 3)}}

    def _guess(self, model: Model) -> Any:
        rng = self._rng
        if model.task == "regression":
            return rng.choice([rng.gauss(0, 3), rng.randrange(5)])
        if model.task in ("multilabel", "ranking"):
            return rng.sample(["a", "b", 3], rng.randrange(3))
        return rng.choice(NAMES[model.task])

    def _label(self, model: Model) -> Any:
        """Mostly one that suits the task."""
        rng = self._rng
        if rng.random() >= 0.93:
            return rng.choice(["odd", 1.5, ["a"], 2, {"a": 1}])
        if model.task == "ranking":
            return {item: rng.choice([0, 1, 2.5]) for item in rng.sample(["a", "b", "3"], rng.randrange(4))}
        return self._guess(model)

    # --- records -------------------------------------------------------------------------------------------------

    def _batches(self, events: Sequence[Arrival]) -> list[list[Arrival]]:
        """Runs of one partition's events that are sent together."""
        rng = self._rng
        open_batches: dict[tuple[str, int], list[Arrival]] = {}
        batches = []
        for one in events:
            place = (one.topic, one.partition)
            batch = open_batches.get(place)
            if batch is None or rng.random() < 0.5 or one.at_s - batch[0].at_s > 0.5:
                batch = open_batches[place] = []
                batches.append(batch)
            batch.append(one)
        return batches

    def _write(self, batch: Sequence[Arrival], *, history: bool = False) -> None:
        topic, partition = batch[0].topic, batch[0].partition
        if not history:
            self._freshen(batch)
        for one in batch:
            newest = self._newest.get((topic, partition), 0)
            self._newest[topic, partition] = max(newest, one.event["timestamp_ms"])
        events = [one.event for one in batch]
        if len(events) > 1 and topic != "resources" and _alike(events):
            self._put(topic, partition, _columns(events), columnar=True)
        else:
            for event in events:
                self._put(topic, partition, event)
        if self._rng.random() < 0.05:
            self._put_bad(topic, partition, events)

    def _freshen(self, batch: Sequence[Arrival]) -> None:
        """Keep the silence rule of the module's docstring."""
        shape, now_ms = self._shape, self._world.now_ms
        topic, partition = batch[0].topic, batch[0].partition
        oldest_ms = min(one.event["timestamp_ms"] for one in batch)
        newest_ms = self._newest.get((topic, partition), 0)
        if (
            oldest_ms < now_ms - shape.idle_ms - shape.lateness_ms + SLACK_MS
            and newest_ms < now_ms - shape.idle_ms + SLACK_MS
        ):
            model = self._shape.models[0]
            name = f"fresh{self.written}"
            event: Event
            if topic == "predictions":
                event = self._prediction(model, model.versions[0], name, now_ms)
            elif topic == "labels":
                label = self._label(model)
                event = {"prediction_id": name, "model": model.name, "timestamp_ms": now_ms, "label": label}
            else:
                event = {"host": "h1", "timestamp_ms": now_ms, "metrics": {"cpu.usage_ratio": 0.5}}
            self._newest[topic, partition] = now_ms
            self._put(topic, partition, event)

    def _put(self, topic: str, partition: int, event: Any, *, columnar: bool = False) -> None:
        headers: list[tuple[str, bytes | None]] = []
        if columnar:
            headers.append(("layout", b"columns"))
        value = event if isinstance(event, bytes | None) else orjson.dumps(event)
        self._cluster.append(topic, partition, b"key", value, headers)
        self.written += 1

    def _put_bad(self, topic: str, partition: int, events: Sequence[Event]) -> None:
        """A record that is no event, one of a wrong clock, or a columnar record with one bad row."""
        rng = self._rng
        event = dict(events[0])
        kind = rng.randrange(6)
        if kind == 0:
            self._put(topic, partition, b"{not json")
        elif kind == 1:
            self._put(topic, partition, None)
        elif kind == 2:
            del event["timestamp_ms"]
            self._put(topic, partition, event)
        elif kind == 3:
            event["timestamp_ms"] += 10 * DAY_MS
            self._put(topic, partition, event)
        elif kind == 4:
            event[rng.choice(sorted(event.keys() - {"timestamp_ms", "latency_ms", "segments", "features"}))] = None
            self._put(topic, partition, event)
        elif topic != "resources":
            good = {**event, "prediction_id": f"beside{self.written}"}
            bad = {**event, "prediction_id": "x" * 200}
            self._place(good["prediction_id"])
            self._put(topic, partition, _columns([good, bad, event]), columnar=True)

    def _register(self, model: Model, version: str) -> None:
        event = {
            "model": model.name,
            "model_version": version,
            "timestamp_ms": self._world.now_ms,
            "task": model.task,
            "stage": "champion",
            "metrics": {"test": {"accuracy": 0.9}},
        }
        # The monitor's partition of a model is that of its partials' key.
        number = self._cluster.number_of(model.name.encode(), "models")
        self._cluster.append("models", number, model.name.encode(), orjson.dumps(event), [])


def _alike(events: Sequence[Event]) -> bool:
    """Whether events have the same fields, model and version, so that they can lie in columns."""
    first = events[0]
    same = ("model", "model_version", "task")
    return all(
        event.keys() == first.keys() and all(event.get(name) == first.get(name) for name in same) for event in events
    )


def _columns(events: Sequence[Event]) -> Event:
    columns: Event = {"n": len(events)}
    for name, value in events[0].items():
        if name in ("model", "model_version", "task"):
            columns[name] = value
        elif name in ("features", "segments", "metrics"):
            columns[name] = {key: [event[name][key] for event in events] for key in value}
        elif name == "scores":
            listed = sorted({key for event in events for key in event[name]})
            columns[name] = {key: [event[name].get(key) for event in events] for key in listed}
        else:
            columns[name] = [event[name] for event in events]
    return columns
