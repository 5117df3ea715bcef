"""What the composition root makes of the settings."""

from structlog.testing import capture_logs

from bot import serve
from tests.unit.config.loaded import load


def test_log_says_why_there_are_no_alerts_without_samples():
    with capture_logs() as logs:
        rules = serve.alert_rules(load(ALERT_CHANNEL="C1", SAMPLE_EVERY="0"))
    assert not rules.channels
    assert [(each["event"], each["problem"]) for each in logs] == [
        ("alerts.off", "ALERT_CHANNEL is set, but SAMPLE_EVERY is 0: no samples, no alerts")
    ]
