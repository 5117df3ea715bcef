"""Metrics for Prometheus. Labels come only from our own fixed words, never from clients."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.domain.findings.model import Rule
from bot.ports import Meter

_ACK = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
_ANSWER = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics(Meter):
    """What Prometheus reads, in a registry of its own.

    `connections` returns, for each cluster, how many held connections are alive and how many there
    should be; `late`, by how many seconds its next sample is late. They are called at each scrape.
    """

    def __init__(
        self,
        connections: Callable[[], Mapping[str, tuple[int, int]]],
        late: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        registry = self._registry = CollectorRegistry()
        registry.register(_Connections(connections))
        registry.register(_Late(late))
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)

        answered = "Samples, by whether the cluster answered."
        self._samples = counter("pg_sessions_samples", answered, ["cluster", "answered"])
        newest = "Findings of the newest sample."
        self._findings = gauge("pg_sessions_findings", newest, ["cluster", "finding"])
        self._commands = counter("pg_sessions_commands", "Commands and clicks.", ["what"])
        self._refusals = counter("pg_sessions_refusals", "Refused attempts.", ["what"])
        targets = "Targets of confirmed kills, by outcome."
        self._outcomes = counter("pg_sessions_kill_targets", targets, ["outcome"])
        until_ack = "From the request to its acknowledgement."
        self._ack = histogram("pg_sessions_ack_seconds", until_ack, ["what"], buckets=_ACK)
        until_answer = "From the request to its answer."
        self._answer = histogram(
            "pg_sessions_answer_seconds", until_answer, ["what"], buckets=_ANSWER
        )
        opened = "Alerts opened; one that is over and comes back counts again."
        self._alerts_opened = counter("pg_sessions_alerts_opened", opened, ["finding"])
        over = "Alerts that were over, each time."
        self._alerts_closed = counter("pg_sessions_alerts_closed", over, ["finding"])
        takes = "Whether a channel of ALERT_CHANNEL takes alerts, as Slack said last."
        self._alert_channels = gauge("pg_sessions_alert_channel_ok", takes, ["channel"])
        failed = "Tries to post or redraw an alert that failed."
        self._alerts_unsaid = counter("pg_sessions_alerts_unsaid", failed)
        until_gone = "From the confirming click to the last target seen gone."
        self._gone = histogram("pg_sessions_gone_seconds", until_gone, buckets=_ANSWER)
        drawn = "Boards that this process draws."
        self._boards = gauge("pg_sessions_boards_open", drawn)

    def acknowledged(self, what: str, seconds: float) -> None:
        self._commands.labels(what).inc()
        self._ack.labels(what).observe(seconds)

    def answered(self, what: str, seconds: float) -> None:
        self._answer.labels(what).observe(seconds)

    def refused(self, what: str) -> None:
        self._refusals.labels(what).inc()

    def concluded(self, outcomes: Mapping[str, int]) -> None:
        for outcome, targets in outcomes.items():
            self._outcomes.labels(outcome).inc(targets)

    def gone(self, seconds: float) -> None:
        self._gone.observe(seconds)

    def boards(self, number: int) -> None:
        self._boards.set(number)

    def alert_channel(self, channel_id: str, *, takes: bool) -> None:
        """Whether a channel takes alerts; its ID comes from the settings."""
        self._alert_channels.labels(channel_id).set(takes)

    def alert_unsaid(self) -> None:
        """Slack didn't take something about an alert."""
        self._alerts_unsaid.inc()

    def alert_opened(self, finding: str) -> None:
        self._alerts_opened.labels(finding).inc()

    def alert_closed(self, finding: str) -> None:
        self._alerts_closed.labels(finding).inc()

    def sampled(self, cluster: str, findings: Mapping[str, int] | None) -> None:
        """A cluster was sampled. Without an answer nothing is known: its findings are no series."""
        self._samples.labels(cluster, "no" if findings is None else "yes").inc()
        for rule in Rule:
            if findings is not None:
                self._findings.labels(cluster, rule).set(findings.get(rule, 0))
            else:
                self._findings.remove_by_labels({"cluster": cluster, "finding": rule})

    def exposed(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _Connections(Collector):
    """The held connections at the moment of the scrape."""

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


class _Late(Collector):
    """How late the sampler is at the moment of the scrape."""

    def __init__(self, late: Callable[[], Mapping[str, float]]) -> None:
        self._late = late

    def collect(self) -> Iterable[GaugeMetricFamily]:
        late = GaugeMetricFamily(
            "pg_sessions_sample_late_seconds",
            "By how much the next sample is late.",
            labels=["cluster"],
        )
        for cluster, seconds in self._late().items():
            late.add_metric([cluster], seconds)
        return (late,)
