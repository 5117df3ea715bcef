"""What would be told where, and whether the bot can post there."""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

from bot.check.facts import NOT_ASKED, SlackFacts, Unknown, Untold
from bot.check.findings import Finding, Section, failure, name, ok, some, warning
from bot.check.slack import NO_CHANNEL
from bot.domain.channels import Channel, Closed, closed
from bot.scopes import OPTIONAL_SCOPES

CLOSED = {
    Closed.UNKNOWN: NO_CHANNEL,
    Closed.ARCHIVED: "it is archived: unarchive it, or name another channel",
    Closed.READ_ONLY: "the bot may not post there. Ask whoever manages the channel to let it",
    Closed.DIRECT: "it is a direct message: name a channel",
    Closed.SHARED: "another workspace shares it. If its people may read alerts, name it in"
    " ALLOWED_CHANNELS too",
    Closed.MAYBE_SHARED: "Slack didn't say whether another workspace shares it",
}


def of_alerts(
    told: Mapping[str, str],
    after: Mapping[str, timedelta],
    facts: SlackFacts,
    *,
    allowed: Collection[str],
    sampled: bool,
) -> Section:
    """`told` is the channel of each cluster that has one; `after` is by the name of a finding."""
    return Section("ALERT_CHANNEL", tuple(_found(told, after, facts, allowed, sampled=sampled)))


def _found(
    told: Mapping[str, str],
    after: Mapping[str, timedelta],
    facts: SlackFacts,
    allowed: Collection[str],
    *,
    sampled: bool,
) -> Iterator[Finding]:
    if not told:
        yield ok("not set: the bot says nothing unasked")
        return
    if not sampled:
        yield warning("SAMPLE_EVERY is 0: without samples the bot tells nothing")
        return
    for channel_id in dict.fromkeys(told.values()):
        clusters = some((each for each, where in told.items() if where == channel_id), most=10)
        yield _of_channel(channel_id, clusters, facts, allowed)
        if allowed and channel_id not in allowed:
            yield warning(
                f"{channel_id}: ALLOWED_CHANNELS doesn't have it, so the buttons of alerts are"
                " refused there"
            )
    times = (f"{finding} {int(span.total_seconds())} s" for finding, span in after.items())
    yield ok(f"told once it has held: {some(times, most=20) or 'nothing: all are off'}")
    yield from _of_scopes(facts)


def _of_channel(
    channel_id: str, clusters: str, facts: SlackFacts, allowed: Collection[str]
) -> Finding:
    match facts.channels.get(channel_id, NOT_ASKED):
        case Unknown():
            return failure(f"{clusters}: {channel_id}: {NO_CHANNEL}")
        case Untold(problem):
            return warning(f"{clusters}: {channel_id}: Slack didn't say what this is ({problem})")
        case Channel() as channel:
            where = f"{clusters}: told in #{name(channel.name)} ({channel.id})"
            if why := closed(channel, allowed):
                return failure(f"{where}, which won't work: {CLOSED[why]}")
            if not channel.is_member:
                return warning(
                    f"{where}; the bot isn't a member: invite it, so that after a crash it can"
                    " look whether an alert was posted"
                )
            return ok(f"{where}; the bot is a member and may post")


def _of_scopes(facts: SlackFacts) -> Iterator[Finding]:
    missing = [each for each in OPTIONAL_SCOPES if each not in (facts.scopes or OPTIONAL_SCOPES)]
    if missing:
        yield warning(
            f"scopes: {some(missing)} is missing: if the bot crashes while it posts an alert, it"
            " can't look whether it did, and may tell it twice"
        )
