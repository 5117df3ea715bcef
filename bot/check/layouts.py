"""What Slack says about the layout of messages and windows. Pure."""

from collections.abc import Iterator

from bot.check.facts import Layouts
from bot.check.findings import Finding, Section, count, name, ok, some, warning


def of_layouts(layouts: Layouts) -> Section:
    """Which messages and windows Slack would refuse."""
    return Section("messages", tuple(_of(layouts)))


def _of(layouts: Layouts) -> Iterator[Finding]:
    for what, objections in layouts.refused.items():
        yield warning(
            f"Slack would refuse the layout of {what} ({some(map(name, objections), 3)}): the bot"
            " sends it in a simpler one, down to plain text. Report it to the bot's maintainers"
        )
    taken = layouts.asked - len(layouts.refused)
    if taken:
        yield ok(f"Slack takes {count(taken, 'kind')} of messages and windows, at their largest")
    if layouts.unread is not None:
        rest = "the other layouts" if layouts.asked else "layouts"
        yield warning(f"{rest} not checked: {layouts.unread.problem}")
