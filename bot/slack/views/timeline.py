"""The answer to `Timeline`: Markdown to paste into a postmortem. Pure."""

from bot.domain.timeline import Timeline
from bot.report.timeline import as_markdown
from bot.slack.views import blocks
from bot.slack.views.lines import Quoted, code, strong
from bot.slack.views.message import Message, in_chunks, message
from bot.slack.views.text import count
from bot.text import cost

MOST = 12_000
"""Characters of the text; of a longer one, the oldest lines are left out."""


def timeline(told: Timeline) -> Message:
    """Draw the events as preformatted text, in which nothing pings or formats."""
    lines = list(as_markdown(told))
    heading, items = lines[:2], lines[2:]
    kept, room = [], MOST - sum(map(cost, heading))
    for line in reversed(items):
        room -= cost(line) + 1
        if room < 0:
            break
        kept.append(line)
    left_out = len(items) - len(kept)
    head = (
        *strong("The last two hours on ", Quoted(told.cluster or "all clusters")),
        f": {count(len(told.events), 'event')}. Only you see this.",
    )
    more = (
        f"The oldest {count(left_out, 'line')} didn't fit. All of them: ",
        code("python -m bot timeline --since 2h"),
    )
    return message(
        [head, more] if left_out else [head],
        *(blocks.preformatted(chunk) for chunk in in_chunks([*heading, *reversed(kept)])),
    )
