"""Every metric of the worker's ``/metrics`` page, declared once with its meaning."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

MAX_SERIES = 20_000
"""How many series each of the gauges fed from topics may have; what would come on top is refused and counted."""


class Metrics:
    """The worker's registry and the metrics in it. Metrics of the processors are read when the page is asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.predictions = Counter(
            "driftline_model_predictions",
            "Predictions counted in closed windows since this worker started; corrections of a window add to it.",
            ["model", "model_version"],
            registry=self.registry,
        )
        self.model_window = BoundedGauge(
            "driftline_model_window",
            "A metric of the newest closed window; quality matures with labels: of the newest window that has it.",
            ["model", "model_version", "segment", "window", "metric"],
            self.registry,
        )
        self.host_window = BoundedGauge(
            "driftline_host_window",
            "A reading of a host, over the newest closed window: mean, min, max and last.",
            ["host", "window", "metric", "stat"],
            self.registry,
        )
        self.alerts_firing = BoundedGauge(
            "driftline_alerts_firing",
            "Alerts firing now.",
            ["rule", "severity", "model", "host"],
            self.registry,
        )
        self.series_refused = Counter(
            "driftline_export_series_refused",
            "Updates refused because a metric has all the series it may have.",
            ["metric"],
            registry=self.registry,
        )
        self.reactions = Counter(
            "driftline_reactions",
            "Reactions to events that were finished, and that failed for good after all retries.",
            ["topic", "reaction", "outcome"],
            registry=self.registry,
        )
        self.webhook_posts = Counter(
            "driftline_webhook_posts",
            "Deliveries to a webhook by how they ended: delivered, refused (not worth a retry), gave_up; and retried.",
            ["webhook", "outcome"],
            registry=self.registry,
        )
        for gauge in (self.model_window, self.host_window, self.alerts_firing):
            gauge.refused = self.series_refused

    def count_reaction(self, topic: str, name: str, worked: bool) -> None:  # noqa: FBT001 - an Outcome, see reaction.py
        """Count a reaction that is through.

        Args:
            topic: the topic's name in the contract.
            name: the reaction's name.
            worked: whether it finished; false when it was given up.
        """
        self.reactions.labels(topic, name, "finished" if worked else "failed").inc()


class BoundedGauge:
    """A gauge whose series come and go and can never be too many.

    Args:
        name: the metric's name.
        meaning: what a person reads about it.
        labels: its label names.
        registry: where it is declared.
        max_series: the most series it may have.
    """

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        max_series: int = MAX_SERIES,
    ) -> None:
        self._name = name
        self._gauge = Gauge(name, meaning, labels, registry=registry)
        self._max_series = max_series
        self._series: set[tuple[str, ...]] = set()
        self.refused: Counter | None = None

    def set(self, labels: tuple[str, ...], value: float) -> None:
        """Show a value; a new series beyond the limit is refused and counted.

        Args:
            labels: the label values, in the declared order.
            value: the number to show.
        """
        if labels not in self._series:
            if len(self._series) >= self._max_series:
                if self.refused is not None:
                    self.refused.labels(self._name).inc()
                return
            self._series.add(labels)
        self._gauge.labels(*labels).set(value)

    def drop(self, labels: tuple[str, ...]) -> None:
        """Show a series no longer; one that is not there is no fault.

        Args:
            labels: the label values, in the declared order.
        """
        if labels in self._series:
            self._series.discard(labels)
            self._gauge.remove(*labels)
