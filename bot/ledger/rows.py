"""Convert proposals, results and notes to the ledger's rows and back. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, get_args

from sqlalchemy import Row

from bot.domain.filters import from_json, to_json
from bot.domain.instants import from_us, to_us
from bot.domain.kills import (
    Action,
    Actor,
    Basis,
    Conclusion,
    Draft,
    Outcome,
    Proposal,
    Reason,
    Result,
    Spared,
    State,
    Target,
)
from bot.domain.record import Entry
from bot.domain.sessions import Backend, BackendId, Limit, LimitOf, ServerId, SpareReason

_INSTANTS = ("backend_start", "xact_start", "query_start", "state_change")

_JUDGED = frozenset(
    {
        *("state", "xact_start", "query_start", "backend_xid", "backend_xmin"),
        *("virtualtransaction", "wait_event_type", "wait_event"),
    }
)
"""The columns of a target that tell, at a click, whether it is still as it was shown."""

_KINDS = {
    field.name: int if int in (field.type, *get_args(field.type)) else str
    for field in fields(Backend)
}
"""The JSON type of each column that is neither an instant nor an address."""

KEYLESS = "-"
"""The key of a row that an older replica wrote: a button with this key finds nothing."""

Values = dict[str, Any]


_REASONS = {
    "had begun other work since the preview": Reason.OTHER_WORK,
    "signalled, and not watched to its end": Reason.UNWATCHED,
    "the bot stopped before it was known": Reason.NOT_KNOWN,
    "the session is gone": Reason.GONE_SINCE,
    "gone now; whether by this signal is not known": Reason.GONE_SINCE,
}


def kill_values(draft: Draft) -> Values:
    """The columns of `kills` that a draft fills in."""
    return {
        "cluster": draft.cluster,
        "host": draft.host,
        "system_identifier": draft.server.system_identifier,
        "postmaster_start_time": draft.server.postmaster_start_time,
        "action": draft.action.value,
        "basis": draft.basis.value,
        "wording": draft.wording,
        "conditions": to_json(draft.conditions),
        "reason": draft.reason,
        "asked_by": draft.asked_by.user_id,
        "asked_by_team": draft.asked_by.team_id,
        "channel_id": draft.channel_id,
        "thread_ts": draft.thread_ts or None,
        "seen_at": draft.seen_at,
        "spared": [{"seen": _dump_backend(s.seen), "why": s.why} for s in draft.spared],
        "limits_seen": [_dump_limit(limit) for limit in draft.before],
        "waiting_seen": draft.waiting,
        "freed": draft.freed,
        "reference": draft.reference,
    }


def target_values(kill_id: int, drafted: Iterable[Target]) -> list[Values]:
    """The rows of `targets`."""
    return [
        {
            "kill_id": kill_id,
            "pid": target.id.pid,
            "backend_start": target.id.backend_start,
            "position": position,
            "usename": target.seen.usename,
            "datname": target.seen.datname,
            "application_name": target.seen.application_name,
            "client_addr": None
            if target.seen.client_addr is None
            else str(target.seen.client_addr),
            "state": target.seen.state,
            "seen": _dump_backend(target.seen),
            "waiting_behind": target.waiting_behind,
            "is_new": target.is_new,
        }
        for position, target in enumerate(drafted)
    ]


def conclusion_values(conclusion: Conclusion) -> Values:
    """The columns of `kills` that a conclusion fills in."""
    before, after = conclusion.waiting or (None, None)
    return {
        "took": conclusion.took,
        "limits": [[_dump_limit(limit) for limit in pair] for pair in conclusion.limits],
        "waiting_before": before,
        "waiting_after": after,
        "arrivals": conclusion.arrivals,
        "began_at": conclusion.began_at,
    }


def result_values(kill_id: int, results: Iterable[Result]) -> list[Values]:
    """The columns that `outcomes` and `amendments` share."""
    return [
        {
            "kill_id": kill_id,
            "pid": result.id.pid,
            "backend_start": result.id.backend_start,
            "outcome": result.outcome.value,
            "detail": result.detail,
            "reason": result.reason,
            "first_step": result.first_step,
        }
        for result in results
    ]


def to_entry(  # noqa: PLR0913  an entry is put together from five tables
    kill: Row[Any],
    *,
    now: datetime,
    targets: Iterable[Row[Any]],
    outcomes: Iterable[Row[Any]],
    amendments: Iterable[Row[Any]],
    notes: Iterable[Row[Any]],
    strict: bool = False,
) -> Entry:
    """An entry from its rows.

    Parts that are only displayed may come from a later version: an unknown one is left out or
    shown as it is, unless the entry is to be acted on (`strict`). Raises `ValueError` for an
    unknown part that decides what is done to whom.
    """
    outcomes, amendments = list(outcomes), list(amendments)
    if strict and (unknown := {row.outcome for row in (*outcomes, *amendments)} - {*Outcome}):
        raise ValueError(f"outcomes were written by another version: {sorted(unknown)}")
    return Entry(
        proposal=_to_proposal(kill, targets),
        expired=kill.state == State.PROPOSED and kill.expires_at <= now,
        results=tuple(_to_result(row) for row in outcomes),
        amendments=tuple(_to_result(row) for row in amendments),
        notes=tuple(row.note for row in notes),
        began_at=kill.began_at,
        concluded_at=kill.concluded_at,
        took=kill.took,
        limits=tuple(_load_pairs(kill.limits or ())),
        waiting=(
            None if kill.waiting_before is None else (kill.waiting_before, kill.waiting_after)
        ),
        arrivals=kill.arrivals or 0,
    )


def _to_proposal(kill: Row[Any], targets: Iterable[Row[Any]]) -> Proposal:
    return Proposal(
        id=kill.id,
        key=kill.key or KEYLESS,
        state=State(kill.state),
        cluster=kill.cluster,
        host=kill.host,
        server=ServerId(kill.system_identifier, kill.postmaster_start_time),
        action=_load_action(kill.action, kill.confirmed_action),
        basis=Basis(kill.basis),
        wording=kill.wording,
        conditions=from_json(kill.conditions),
        targets=tuple(_to_target(row) for row in targets),
        spared=tuple(_load_spared(kill.spared)),
        reason=kill.reason,
        asked_by=Actor(kill.asked_by, kill.asked_by_team),
        channel_id=kill.channel_id,
        thread_ts=kill.thread_ts or "",
        seen_at=kill.seen_at,
        before=tuple(_load_limits(kill.limits_seen)),
        waiting=kill.waiting_seen,
        freed=kill.freed,
        created_at=kill.created_at,
        expires_at=kill.expires_at,
        message_ts=kill.message_ts or "",
        reference=kill.reference or "",
        confirmed_by=_to_actor(kill.confirmed_by, kill.confirmed_by_team),
        claimed_at=kill.claimed_at,
        dismissed_by=_to_actor(kill.dismissed_by, kill.dismissed_by_team),
        dismissed_at=kill.dismissed_at,
    )


def _load_action(proposed: str, confirmed: str | None) -> Action:
    action = Action(proposed)
    return action if confirmed is None else Action(confirmed)


def _to_actor(user_id: str | None, team_id: str | None) -> Actor | None:
    return None if user_id is None else Actor(user_id, team_id or "")


def _to_target(row: Row[Any]) -> Target:
    return Target(
        BackendId(row.pid, row.backend_start),
        _load_seen(row),
        row.waiting_behind,
        row.is_new,
    )


def _to_result(row: Row[Any]) -> Result:
    backend = BackendId(row.pid, row.backend_start)
    first_step = Outcome(row.first_step) if row.first_step in [*Outcome] else None
    if row.outcome in [*Outcome]:
        return Result(backend, Outcome(row.outcome), row.detail, _reason(row), first_step)
    detail = ": ".join(filter(None, (row.outcome, row.detail)))
    return Result(backend, Outcome.UNKNOWN, detail, first_step=first_step)


def _reason(row: Row[Any]) -> Reason | None:
    """The reason as a value; schema versions before 7 have it only in words."""
    if row.reason is not None:
        return Reason(row.reason) if row.reason in [*Reason] else None
    return next((reason for end, reason in _REASONS.items() if row.detail.endswith(end)), None)


def _load_reason(why: str) -> SpareReason | str:
    return SpareReason(why) if why in [*SpareReason] else why


def _dump_limit(limit: Limit) -> list[Any]:
    return [limit.name, limit.used, limit.limit, limit.of.value]


def _load_limits(dumped: Iterable[Any]) -> Iterator[Limit]:
    for each in dumped:
        match each:
            case [str(name), int(used), int(limit), of] if of in [*LimitOf]:
                yield Limit(name, used, limit, LimitOf(of))


def _load_pairs(dumped: Iterable[Any]) -> Iterator[tuple[Limit, Limit]]:
    for pair in dumped:
        known = list(_load_limits(pair))
        if len(known) == 2:
            yield known[0], known[1]


def _dump_backend(backend: Backend) -> Values:
    return {
        field.name: _dump_column(value)
        for field in fields(backend)
        if (value := getattr(backend, field.name)) is not None
    }


def _dump_column(value: object) -> object:
    match value:
        case datetime():
            return to_us(value)
        case IPv4Address() | IPv6Address():
            return str(value)
        case _:
            return value


def _load_seen(target: Row[Any]) -> Backend:
    """A target as it was shown; parts of it decide whether it is still the same."""
    known = dict(_known_columns(target.seen))
    if lost := _JUDGED & target.seen.keys() - known.keys():
        raise ValueError(f"what was seen of a target can't be read: {sorted(lost)}")
    return Backend(**{"pid": target.pid} | known)


def _load_spared(dumped: Iterable[Values]) -> Iterator[Spared]:
    for one in dumped:
        known = dict(_known_columns(one["seen"]))
        if "pid" in known:
            yield Spared(Backend(**known), _load_reason(one["why"]))


def _known_columns(dumped: Values) -> Iterator[tuple[str, Any]]:
    """The columns that this version knows and can read."""
    for name, value in dumped.items():
        kind = _KINDS.get(name)
        try:
            if name in _INSTANTS:
                yield name, from_us(value)
            elif name == "client_addr":
                yield name, ip_address(value)
            elif kind is not None and isinstance(value, kind):
                yield name, value
        except (ValueError, TypeError, OverflowError):
            pass
