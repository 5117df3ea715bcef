"""Numbers for Prometheus. No label holds what a client chose: only our own few words."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_ACK = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
_ANSWER = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """A `bot.ports.Meter` over a registry of its own.

    `connections` says of each cluster how many of its held connections live, and how many
    there should be; it is asked at each scrape.
    """

    def __init__(self, connections: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Connections(connections))
        self._commands = Counter(
            "pg_sessions_commands", "Commands and clicks.", ["what"], registry=self._registry
        )
        self._refusals = Counter(
            "pg_sessions_refusals", "Refused attempts.", ["what"], registry=self._registry
        )
        self._outcomes = Counter(
            "pg_sessions_kill_targets",
            "Targets of confirmed kills, by outcome.",
            ["outcome"],
            registry=self._registry,
        )
        self._ack = Histogram(
            "pg_sessions_ack_seconds",
            "From the request to its acknowledgement.",
            ["what"],
            buckets=_ACK,
            registry=self._registry,
        )
        self._answer = Histogram(
            "pg_sessions_answer_seconds",
            "From the request to its answer.",
            ["what"],
            buckets=_ANSWER,
            registry=self._registry,
        )
        self._gone = Histogram(
            "pg_sessions_gone_seconds",
            "From the confirming click to the last target seen gone.",
            buckets=_ANSWER,
            registry=self._registry,
        )

    def acknowledged(self, what: str, seconds: float) -> None:
        """A command was acknowledged, after so long."""
        self._commands.labels(what).inc()
        self._ack.labels(what).observe(seconds)

    def answered(self, what: str, seconds: float) -> None:
        """A command or click was answered, after so long."""
        self._answer.labels(what).observe(seconds)

    def refused(self, what: str) -> None:
        """An attempt was refused."""
        self._refusals.labels(what).inc()

    def concluded(self, outcomes: Mapping[str, int]) -> None:
        """A kill came to its end: how many targets met each outcome."""
        for outcome, targets in outcomes.items():
            self._outcomes.labels(outcome).inc(targets)

    def gone(self, seconds: float) -> None:
        """All that a kill signalled have ended, so long after the click."""
        self._gone.observe(seconds)

    def exposed(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self._registry)


class _Connections(Collector):
    """The held connections, as they are at the scrape."""

    def __init__(self, connections: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        self._connections = connections

    def collect(self) -> Iterable[GaugeMetricFamily]:
        live = GaugeMetricFamily(
            "pg_sessions_cluster_connections", "Held connections that live.", labels=["cluster"]
        )
        wanted = GaugeMetricFamily(
            "pg_sessions_cluster_connections_wanted",
            "Held connections that there should be.",
            labels=["cluster"],
        )
        for cluster, (living, size) in self._connections().items():
            live.add_metric([cluster], living)
            wanted.add_metric([cluster], size)
        return live, wanted
