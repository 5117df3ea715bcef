"""The record for other programs: `python -m bot history --format json|csv`.

`timeline` is for people: the record in one list, by time.

Pure. JSON has one line and object per kill. CSV has one line per target, for spreadsheets, and no
cell can be taken for a formula. Other people chose the names in it, so a character that is
invisible or that a terminal would obey is written as its code. JSON's own escapes lose nothing;
CSV has none, so its cells contain the code as text.
"""

import csv
import io
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.kills import Action, Result, Target
from bot.domain.record import Entry, Noted, Unreadable
from bot.domain.sessions import Backend, Limit
from bot.domain.steps import second_step
from bot.text import is_visible, visible

CSV_COLUMNS = (
    "kill",
    "state",
    "cluster",
    "host",
    "asked_at",
    "asked_by",
    "confirmed_at",
    "confirmed_by",
    "dismissed_by",
    "concluded_at",
    "channel",
    "message_ts",
    "request",
    "reason",
    "action",
    "basis",
    "pid",
    "backend_start",
    "usename",
    "datname",
    "application_name",
    "client_addr",
    "session_state",
    "xact_start",
    "query",
    "outcome",
    "first_outcome",
    "detail",
    "reference",
    "cancel",
    "terminate",
)

UNREADABLE = "unreadable"
"""The state of a kill that this version of the bot can't read; its `detail` says why."""

_AGO = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FORMULA = ("=", "+", "-", "@")


def since(text: str, now: datetime) -> datetime:
    """`2026-11-01`, an ISO instant, or an age: `30m`, `12h`, `7d`, `2w`. Raises `ValueError`."""
    if found := _AGO.fullmatch(text):
        try:
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            raise ValueError(f"{text} is before the year 1") from None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a date (2026-11-01), an instant (2026-11-01T12:00+01:00) or an age"
            " (30m, 12h, 7d, 2w)"
        ) from None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def as_json(entries: Iterable[Entry | Unreadable]) -> Iterable[str]:
    """One line for each kill."""
    for entry in entries:
        yield json_line(_kill(entry))


def as_csv(entries: Iterable[Entry | Unreadable]) -> Iterable[str]:
    """A header line, then one line for each target."""
    yield _line(CSV_COLUMNS)
    for entry in entries:
        kill = _kill(entry)
        rows = [kill] if isinstance(entry, Unreadable) else _by_target(kill)
        for row in rows:
            yield _line(tuple(_cell(row.get(name)) for name in CSV_COLUMNS))


def _by_target(kill: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for target in kill["targets"]:
        # The session's `state` is not the kill's.
        yield {**target, "session_state": target["state"], **kill}


NOTED_COLUMNS = ("id", "at", "by", "team", "channel", "what", "why", "cluster", "reference")


def noted_as_json(noted: Iterable[Noted]) -> Iterable[str]:
    """One line for each refusal or look."""
    for one in noted:
        yield json_line(_noted(one))


def noted_as_csv(noted: Iterable[Noted]) -> Iterable[str]:
    """A header line, then one line for each refusal or look."""
    yield _line(NOTED_COLUMNS)
    for one in noted:
        yield _line(tuple(map(_cell, _noted(one).values())))


def _noted(one: Noted) -> dict[str, Any]:
    values = (
        one.id,
        _instant(one.at),
        one.actor.user_id,
        one.actor.team_id,
        one.channel_id,
        one.what,
        one.why,
        one.cluster,
        one.reference or None,
    )
    return dict(zip(NOTED_COLUMNS, values, strict=True))


def _kill(entry: Entry | Unreadable) -> dict[str, Any]:
    if isinstance(entry, Unreadable):
        return {"kill": entry.number, "state": UNREADABLE, "detail": entry.why, "targets": []}
    proposal = entry.proposal
    confirmed, dismissed = proposal.confirmed_by, proposal.dismissed_by
    return {
        "kill": proposal.id,
        "key": proposal.key,
        "state": "expired" if entry.expired else proposal.state.value,
        "cluster": proposal.cluster,
        "host": proposal.host,
        "asked_at": _instant(proposal.created_at),
        "asked_by": proposal.asked_by.user_id,
        "confirmed_at": _instant(proposal.claimed_at),
        "confirmed_by": confirmed.user_id if confirmed else None,
        "dismissed_by": dismissed.user_id if dismissed else None,
        "concluded_at": _instant(entry.concluded_at),
        "channel": proposal.channel_id,
        "message_ts": proposal.message_ts or None,
        "request": proposal.wording,
        "reason": proposal.reason,
        "reference": proposal.reference or None,
        "action": proposal.action.value,
        "basis": proposal.basis.value,
        "took": entry.took.total_seconds() if entry.took is not None else None,
        "limits": [[_limit(before), _limit(after)] for before, after in entry.limits],
        "waiting": list(entry.waiting) if entry.waiting is not None else None,
        "arrivals": entry.arrivals,
        "notes": list(entry.notes),
        "targets": [_target(entry, target) for target in proposal.targets],
        "spared": [{**_backend(one.seen), "why": one.why} for one in proposal.spared],
    }


def _target(entry: Entry, target: Target) -> dict[str, Any]:
    result = next((each for each in entry.latest if each.id == target.id), None)
    first = next((each for each in entry.results if each.id == target.id), None)
    return {
        **_backend(target.seen),
        "outcome": result.outcome.value if result else None,
        "first_outcome": first.outcome.value if first else None,
        "detail": (result.detail or None) if result else None,
        **(_steps(result) if entry.proposal.action is Action.CANCEL_THEN_TERMINATE else {}),
    }


def _steps(result: Result | None) -> dict[str, Any]:
    """What each step came to; null for one that was not taken, or isn't known."""
    first, second = (result.first_step, second_step(result)) if result else (None, None)
    return {"cancel": first and first.value, "terminate": second and second.value}


def _backend(seen: Backend) -> dict[str, Any]:
    return {
        "pid": seen.pid,
        "backend_start": _instant(seen.backend_start),
        "usename": seen.usename,
        "datname": seen.datname,
        "application_name": seen.application_name,
        "client_addr": str(seen.client_addr) if seen.client_addr else None,
        "state": seen.state,
        "xact_start": _instant(seen.xact_start),
        "query": seen.query,
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {"of": limit.of.value, "name": limit.name, "used": limit.used, "limit": limit.limit}


def _instant(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant is not None else None


def json_line(value: dict[str, Any]) -> str:
    """One line of JSON: letters of any script unchanged, invisible characters escaped."""
    line = json.dumps(value, ensure_ascii=False)
    # Outside its strings, JSON is visible ASCII.
    return "".join(c if is_visible(c) else json.dumps(c)[1:-1] for c in line)


def _cell(value: object) -> str:
    text = "" if value is None else visible(str(value))
    # A spreadsheet takes such a cell for a formula, some even after spaces.
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _line(cells: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()
