"""The answers to `/pg-sessions`: one server's sessions, all clusters, or a choice.

Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile

from bot.domain.kills import Action
from bot.domain.sessions import Backend, Look
from bot.grammar.requests import SessionsRequest
from bot.grammar.terms import Aged, AgeOf, Field, Match, Term
from bot.operations.results import Sessions
from bot.slack.buttons import ActionId, PageOf, RowRef
from bot.slack.views import blocks, cluster
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, as_of, plain, strong
from bot.slack.views.message import Message, message
from bot.slack.views.session_table import (
    QUIET,
    is_turned,
    page_of,
    page_size,
    since_on,
    tabled,
    why,
)
from bot.slack.views.text import age, count, dotted, some

_FEW = 5
"""Rows listed though they say nothing, so that people see who is on a quiet server."""

SPOKEN = 3
"""How many rows the top-level text mentions."""

_STATE_ORDER = ("active", "idle in transaction", "idle in transaction (aborted)", "idle")


def sessions(answer: Sessions, action: Action | None = Action.TERMINATE) -> Message:
    """One page of one server's sessions: the server's state, who is there, what can be done.

    The menu offers to do `action` to them; if None, there is no menu for that.
    """
    drawn = _for_all(answer, action)
    foot = blocks.foot(as_of(answer.look.server.now, answer.asked_by))
    return Message(drawn.text, (*drawn.blocks, foot))


@lru_cache(maxsize=8)
def _for_all(answer: Sessions, action: Action | None) -> Message:
    """What is the same whoever asked: those who share a look have it drawn once."""
    listed = _listed(answer)
    look = replace(answer.look, rows=answer.look.rows[:listed])
    table, shown = tabled(replace(answer, look=look))
    typed, folded = str(answer.request), listed < len(answer.look.rows)
    return message(
        _summary(answer),
        table,
        blocks.foot(_below(answer, typed, len(shown), folded=folded)),
        blocks.actions(_controls(answer, typed, action, shown, folded=folded)),
        also=[spoken(look, backend) for backend in shown[:SPOKEN]],
    )


def _listed(answer: Sessions) -> int:
    """How many rows of the page are listed; uninteresting ones at its end are only counted.

    If the request asks for idle sessions, or for an order, all are listed.
    """
    rows, request = answer.look.rows, answer.request
    asked_for = request.sort or request.limit or request.pids or answer.offset
    asked_for = asked_for or any(map(_speaks_of_idle, request.terms))
    if asked_for or is_turned(request):
        return len(rows)
    quiet = takewhile(lambda row: why(answer.look, row) in QUIET, reversed(rows))
    return min(max(len(rows) - sum(1 for _ in quiet), _FEW), len(rows))


def _rest(answer: Sessions, shown: int) -> str:
    """The rows that are only counted: `21 idle`, or `22 more` if not all of them are idle."""
    look = answer.look
    number = look.counts.total - shown
    listed = sum(row.state == "idle" for row in look.rows[:shown])
    all_idle = number <= look.counts.by_state.get("idle", 0) - listed
    return f"{number} idle" if all_idle else f"{number} more"


def _speaks_of_idle(term: Term) -> bool:
    match term:
        case Match(Field.STATE):
            return True
        case Aged(AgeOf.IDLE):
            return True
        case _:
            return False


def spoken(look: Look, backend: Backend) -> Line:
    """One session in a line, for screen readers."""
    told = (backend.usename, backend.state, why(look, backend))
    parts = tuple(part for each in told if each for part in (" · ", Quoted(each)))
    return (f"pid {backend.pid}", *parts)


def _summary(answer: Sessions) -> list[Line]:
    server = answer.look.server
    place = strong(Quoted(answer.cluster))
    if answer.database is not None:
        place = strong(Quoted(answer.database), " on ", Quoted(answer.cluster))
    return [
        (*place, " · ", *cluster.introduction(server)),
        (_counts(answer.look),),
        *(("⚠ ", *line) for line in cluster.pressing(server)),
        *([line] if (line := cluster.connections(server)) else []),
        *_blind_spots(answer.look),
    ]


def _counts(look: Look) -> str:
    counts = look.counts
    states = sorted(counts.by_state.items(), key=lambda item: _state_rank(item[0]))
    parts = [f"{number} {state or 'without a state'}" for state, number in states if number]
    if counts.waiting:
        parts.append(f"{counts.waiting} waiting for a lock")
    if counts.oldest_xact is not None:
        parts.append(f"oldest transaction {age(since_on(counts.oldest_xact, look))}")
    head = count(counts.total, "session")
    return f"{head}: {' · '.join(parts)}" if parts else head


def _state_rank(state: str) -> tuple[int, str]:
    at = _STATE_ORDER.index(state) if state in _STATE_ORDER else len(_STATE_ORDER)
    return at, state


def _blind_spots(look: Look) -> Iterable[Line]:
    yield from (("⚠ ", *line) for line in cluster.unseen(look.server))
    if look.names.stale:
        yield (f"⚠ {cluster.stale(look.names)}",)


def _below(answer: Sessions, typed: str, shown: int, *, folded: bool) -> Line:
    total, offset = answer.look.counts.total, answer.offset
    if folded:
        line: Line = (
            f"{shown} of {total} shown, what hurts most first · + {_rest(answer, shown)}",
        )
    elif shown:
        line = (f"{page_of(offset, shown, str(total))} shown, ", *_order(answer.request))
    elif total:
        line = (f"no session on this page; {count(total, 'session')} in all",)
    else:
        line = ("no session matches",)
    if answer.matched < total:
        line += (f" · {total - answer.matched} beyond the limit of {answer.matched}",)
    if hidden := answer.look.counts.hidden:
        own = f"the bot's own {hidden}"
        line += (f" · {own} left out" if total else f" except {own} (`all` shows them)",)
    if missing := _missing(answer):
        line += (f" · no session has pid {some(missing, 5, 'or')}",)
    if not blocks.fits_button(PageOf(typed, total).encode()):
        line += (" · this request is too long for buttons: type a shorter one",)
    return line


def _missing(answer: Sessions) -> list[str]:
    """The requested pids that no session has, if all that exist are on this page."""
    found = {backend.pid for backend in answer.look.rows}
    if len(found) < answer.look.counts.total:
        return []
    return [str(pid) for pid in answer.request.pids if pid not in found]


def _order(request: SessionsRequest) -> Line:
    if not request.sort:
        return ("what hurts most first",)
    return ("sorted by ", Quoted(", ".join(map(str, request.sort)), 200))


def _controls(
    answer: Sessions, typed: str, action: Action | None, shown: Sequence[Backend], *, folded: bool
) -> Iterable[Block]:
    offset = answer.offset
    pages = [("Refresh", ActionId.SESSIONS_REFRESH, offset)]
    if offset:
        before = max(0, offset - page_size(answer.request))
        pages.append(("Previous", ActionId.SESSIONS_PREVIOUS, before))
    if shown and offset + len(shown) < answer.matched:
        more = f"Show {_rest(answer, len(shown))}" if folded else "Next"
        pages.append((more, ActionId.SESSIONS_NEXT, offset + len(shown)))
    for label, action_id, start in pages:
        value = PageOf(typed, start).encode()
        yield from blocks.fitting(label, action_id, value)
    yield from acts(answer, action, shown)


def acts(answer: Sessions, action: Action | None, shown: Sequence[Backend]) -> Iterable[Block]:
    """What can be opened from the rows that are shown, and what can be done to them."""
    if answer.look.waits.blocked_by:
        yield cluster.blocking_tree(answer.cluster)
    options = dict(_options(answer.cluster, shown))
    if options:
        yield blocks.menu("Show a session…", ActionId.SESSIONS_INSPECT, list(options.values()))
    endable = [backend for backend in shown if backend.pid in answer.endable]
    if action is Action.CANCEL:
        endable = [backend for backend in endable if backend.state == "active"]
    choices = [options[backend.pid] for backend in endable if backend.pid in options]
    if action is not None and choices:
        label = "Terminate a session…" if action is Action.TERMINATE else "Cancel a query…"
        yield blocks.menu(label, ActionId.SESSIONS_KILL_ROW, choices)


def _options(cluster_name: str, shown: Iterable[Backend]) -> Iterable[tuple[int, Block]]:
    for backend in shown:
        if backend.id is None:
            continue
        value = RowRef(cluster_name, backend.id).encode()
        if blocks.fits_option(value):
            names = (plain(backend.usename, 28), plain(backend.state, 30))
            label = dotted((str(backend.pid), *map(str.strip, names)))
            yield backend.pid, blocks.option(label, value)
