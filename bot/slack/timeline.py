"""`Timeline` on an outcome, an alert that is over, or the history: two hours as text to paste.

Only the person who asks sees it.
"""

from bot.operations.results import NotClaimed
from bot.slack.authorization import Admitted
from bot.slack.buttons import decoded, kill_key
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.views import alert as alert_view
from bot.slack.views import kill as kill_view
from bot.slack.views import timeline as timeline_view


async def show(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Answer with what happened on a kill's cluster."""
    key = decoded(kill_key, click.value)
    told = await runner.within(admitted).timeline(click.channel_id, key)
    if isinstance(told, NotClaimed):
        await runner.whisper(click, kill_view.not_told(told))
        return
    await runner.whisper(click, timeline_view.timeline(told))


async def of_alert(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Answer with what happened on an alert's cluster."""
    alert = await runner.operations.alerting.get(decoded(kill_key, click.value))
    if alert is None:
        await runner.whisper(click, alert_view.unknown())
        return
    told = await runner.within(admitted).recent(alert.topic.cluster, click.channel_id)
    await runner.whisper(click, timeline_view.timeline(told))


async def of_cluster(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Answer with what happened on a cluster of the history."""
    told = await runner.within(admitted).recent(click.value, click.channel_id)
    await runner.whisper(click, timeline_view.timeline(told))
