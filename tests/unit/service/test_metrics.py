"""What `/metrics` says of samples."""

from prometheus_client.parser import text_string_to_metric_families

from bot.domain.findings.model import Rule
from bot.service.metrics import Metrics


def series(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each series about `main`, by its name and its other label."""
    return {
        (sample.name, *(v for k, v in sample.labels.items() if k != "cluster")): sample.value
        for family in text_string_to_metric_families(metrics.exposed().decode())
        for sample in family.samples
        if sample.labels.get("cluster") == "main" and not sample.name.endswith("_created")
    }


def test_samples_findings_and_lateness_are_told():
    metrics = Metrics(dict, lambda: {"main": 1.5})
    metrics.sampled("main", {"blocker": 2})
    found = series(metrics)
    assert found["pg_sessions_samples_total", "yes"] == 1
    assert found["pg_sessions_sample_late_seconds",] == 1.5
    assert {name[1]: n for name, n in found.items() if name[0] == "pg_sessions_findings"} == {
        str(rule): 2.0 if rule is Rule.BLOCKER else 0.0 for rule in Rule
    }


def test_without_an_answer_no_finding_is_told():
    metrics = Metrics(dict)
    metrics.sampled("main", {"blocker": 2})
    metrics.sampled("main", None)
    assert series(metrics) == {
        ("pg_sessions_samples_total", "yes"): 1,
        ("pg_sessions_samples_total", "no"): 1,
    }
