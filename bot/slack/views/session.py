"""One session in full, in a modal: opened at once with a placeholder, then filled.

Pure. A modal holds 100 blocks but no table. Only here may a query be shown with its literals, and
only to those who may kill.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bot.domain.blocking import Branch, HeldLock
from bot.domain.kills import Action
from bot.grammar.columns import ACTIVITY_COLUMNS
from bot.operations.results import Gone, Inspection
from bot.slack.buttons import ActionId, RowRef, check_place
from bot.slack.views import blocks, cluster, targets
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, plain, strong
from bot.slack.views.message import Message
from bot.slack.views.text import age, clock, count, dotted, timestamp
from bot.slack.views.tree import indented
from bot.text import visible

View = dict[str, Any]

CALLBACK_ID = "session"
_TITLE = 24
_QUERY = 3000
_LOCKS = 2500
_FIRST = ("usename", "datname", "application_name", "client_addr", "state", "state_change")
_BRANCHES = 25
"""Lines of the tree around a session."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A modal's metadata: the session that it shows, the channel and thread where it was opened.

    The channel's name distinguishes a group's direct message from a channel.
    """

    row: RowRef
    channel_id: str
    channel_name: str = ""
    thread_ts: str = ""

    def encode(self) -> str:
        """As `private_metadata`."""
        row, channel, name = self.row.encode(), self.channel_id, self.channel_name
        return json.dumps({"row": row, "channel": channel, "name": name, "thread": self.thread_ts})

    @classmethod
    def decode(cls, text: str) -> "Opened":
        """The inverse. Raises `ValueError`."""
        try:
            item = json.loads(text)
            row, channel_id, name = item["row"], item["channel"], item.get("name", "")
            thread_ts = item.get("thread", "")
            if not all(isinstance(each, str) for each in (row, name)):
                raise ValueError("not a session")
            check_place(channel_id, thread_ts)
            return cls(RowRef.decode(row), channel_id, name, thread_ts)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("not from one of our modals") from error


def placeholder(opened: Opened) -> View:
    """Shown at once, because a modal must be opened within 3 s of the click."""
    looking = blocks.paragraph((f"Looking at pid {opened.row.id.pid}…",))
    # If Slack refuses what replaces it, this button asks again.
    return _modal(opened, [looking, *_refresh(opened)])


def trouble(opened: Opened, why: Iterable[Block]) -> View:
    """Replaces the placeholder if nothing could be read; `why` is a message's blocks."""
    return _modal(opened, [*why, *_refresh(opened)])


def last_word(opened: Opened, words: str) -> View:
    """Replaces the session with one line of our own."""
    return trouble(opened, [blocks.paragraph((words,))])


def told(message: Message, private_metadata: str) -> View:
    """Replaces the modal with an answer; has a way back if it is known what the modal showed."""
    try:
        opened = Opened.decode(private_metadata)
    except ValueError:
        return _window("pg-sessions", "", list(message.blocks))
    return _modal(opened, [*message.blocks, *_refresh(opened)])


def gone(opened: Opened, answer: Gone) -> View:
    """The session no longer exists; another one with its pid isn't shown instead."""
    line: Line = (f"pid {answer.id.pid} is already gone from ", Quoted(answer.cluster), ".")
    return _modal(opened, [blocks.paragraph(line)])


def session(opened: Opened, answer: Inspection, action: Action | None) -> View:
    """Everything about one backend, with a button for what the person may do to it."""
    contents = _contents(opened, answer, action)
    return _modal(opened, [block for block in contents if block is not None])


def _modal(opened: Opened, contents: list[Block]) -> View:
    return _window(f"pid {opened.row.id.pid}", opened.encode(), contents)


def _window(title: str, private_metadata: str, contents: list[Block]) -> View:
    return {
        "type": "modal",
        "callback_id": CALLBACK_ID,
        "private_metadata": private_metadata,
        "title": blocks.plain_text(title, _TITLE),
        "close": blocks.plain_text("Close"),
        "blocks": contents[:100],
    }


def _contents(opened: Opened, answer: Inspection, action: Action | None) -> Iterable[Block | None]:
    server = answer.server
    yield blocks.paragraph(
        (*strong(Quoted(answer.cluster)), " · ", *cluster.introduction(server)),
        *_standing(answer),
    )
    said = "query in full: only you see it, and this look is on record"
    yield blocks.paragraph(strong(said if answer.full else "query without its literals"))
    query = _lines(answer.backend.query or "")
    yield blocks.preformatted(_cut(query, _QUERY) if query.strip() else " ")
    if len(query) > _QUERY:
        of = f" of {len(query)}" if answer.full else ""  # a redacted one arrives already cut
        yield blocks.foot((f"cut here at {_QUERY}{of} characters",))
    yield from _around(answer)
    if answer.barrier is not None or (action is Action.CANCEL and answer.backend.state != "active"):
        action = None
    yield blocks.actions([*_buttons(opened, action)])
    pairs = list(_pairs(answer))
    for start in range(0, len(pairs), 10):
        yield blocks.fields(pairs[start : start + 10])
    yield from _locks(answer)
    yield blocks.foot((f"as of {clock(server.now)}",))


def _standing(answer: Inspection) -> Iterable[Line]:
    itself = next((each for each in answer.branches if each.pid == answer.backend.pid), None)
    if itself is not None and not itself.is_root:
        since = answer.since
        lasting = f" for {age(answer.server.now - since)}" if since is not None else ""
        yield (f"waits for a lock{lasting}",)
    if itself is not None and itself.behind:
        waits = "waits" if itself.behind == 1 else "wait"
        yield (f"{count(itself.behind, 'session')} {waits} behind it",)
    if answer.through_pooler:
        yield (f"{targets.THROUGH_POOLER}: what is shown of its client is the pooler's",)
    if answer.barrier is not None:
        yield (
            "The bot won't end it: ",
            *targets.barred(answer.barrier, answer.backend),
        )


def _pairs(answer: Inspection) -> Iterable[tuple[str, str]]:
    """All columns that have a value, except the query; with ages beside instants.

    What people ask for first comes first.
    """
    backend, now = answer.backend, answer.server.now
    ages = {
        "backend_start": backend.age(now),
        "xact_start": backend.xact_age(now),
        "query_start": backend.query_age(now),
        "state_change": backend.state_age(now),
    }
    for name in dict.fromkeys((*_FIRST, *ACTIVITY_COLUMNS)):
        value = getattr(backend, name)
        if name == "query" or value is None or value == "":
            continue
        if name in ages:
            length = ages[name]
            since = f"{age(length)} ago · " if length is not None else ""
            yield name, f"{since}{timestamp(value)}"
        else:
            yield name, str(value)


def _around(answer: Inspection) -> Iterable[Block]:
    if not answer.branches:
        return
    yield blocks.paragraph(strong("who waits for whom around it"))
    lines = [_branch(answer, branch) for branch in answer.branches[:_BRANCHES]]
    if (more := len(answer.branches) - _BRANCHES) > 0:
        lines.append(f"… and {more} more: see the blocking tree")
    yield blocks.preformatted("\n".join(lines))


def _branch(answer: Inspection, branch: Branch) -> str:
    backend = answer.around.get(branch.pid)
    here = "◂ this one" if branch.pid == answer.backend.pid else None
    if backend is None:
        return dotted((indented(branch), here))
    length = backend.state_age(answer.server.now)
    lasting = f" {age(length, short=True)}" if length is not None else ""
    doing = f"{backend.state}{lasting}" if backend.state else None
    return dotted((indented(branch), plain(backend.usename, 40).strip(), doing, here))


def _locks(answer: Inspection) -> Iterable[Block]:
    if not answer.locks:
        return
    lines = [_lock(answer, lock) for lock in answer.locks]
    while len(drawn := "\n".join(lines)) > _LOCKS:
        lines.pop()
    shown = f"{len(lines)} of " if len(lines) < answer.all_locks else ""
    order = "" if answer.all_locks == 1 else "; first those it waits for, then the strongest"
    what = f"{shown}{count(answer.all_locks, 'lock')}{order}"
    yield blocks.paragraph(strong(what))
    yield blocks.preformatted(drawn)
    if any(lock.relation is not None and lock.relname is None for lock in answer.locks):
        said = "A number is a relation whose name the bot can't read:"
        yield blocks.foot((f"{said} run select <number>::regclass in its database.",))


def _lock(answer: Inspection, lock: HeldLock) -> str:
    how = "holds " if lock.granted else "waits for "
    what = plain(lock.on, 130)
    database = answer.names.databases.get(lock.database) if lock.database else None
    within = f" in {visible(database.datname)}" if database is not None else ""
    since = (
        f", for {age(answer.server.now - lock.since)}"
        if lock.since is not None and not lock.granted
        else ""
    )
    return f"{how}{lock.mode} on {what}{within}{since}"


def _buttons(opened: Opened, action: Action | None) -> Iterable[Block]:
    yield from _refresh_button(opened)
    if action is not None:
        label = "Terminate…" if action is Action.TERMINATE else "Cancel query…"
        yield blocks.button(label, ActionId.SESSION_KILL, opened.row.encode(), style="danger")


def _refresh(opened: Opened) -> Iterable[Block]:
    if (made := blocks.actions(_refresh_button(opened))) is not None:
        yield made


def _refresh_button(opened: Opened) -> Iterable[Block]:
    yield blocks.button("Refresh", ActionId.SESSION_REFRESH, opened.row.encode())


def _lines(query: str) -> str:
    """A query with its own line breaks, and with no other invisible character."""
    return "\n".join(visible(line) for line in query.splitlines())


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
