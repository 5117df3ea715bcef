"""Whether sessions that were seen before meet a look's filters. Pure.

The server does this for a look of now (`bot.postgres.where`); for the past there are only samples.
An unknown value satisfies a negation and nothing else, as in a look.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import assert_never

from bot.domain.filters import AddressIn, Before, Condition, InLock, InTree, OidIn, PidIn, TextLike
from bot.domain.groups import Group, Groups, merged
from bot.domain.sessions import Backend, Counts, is_held_up
from bot.domain.waits import Waits
from bot.grammar.terms import AgeOf, Field, Match, Pattern, Word

FIELDS = tuple(Field)


def meets(row: Backend, conditions: Iterable[Condition], waits: Waits) -> bool:
    """Whether a session meets all conditions."""
    return all(_meets(row, condition, waits) for condition in conditions)


def _meets(row: Backend, condition: Condition, waits: Waits) -> bool:
    match condition:
        case OidIn(column, oids, negated):
            return (getattr(row, column) in oids) is not negated
        case TextLike(column, parts, negated):
            values = [row.wait_event_type] if column == "wait_event" else []
            return _matches(Pattern(parts), [getattr(row, column), *values]) is not negated
        case AddressIn(network, negated):
            return _is_in(row.client_addr, network) is not negated
        case Before(of, instant, older):
            since = _since(row, of)
            return since is not None and (since < instant if older else since > instant)
        case InLock(word):
            return row.is_waiting if word is Word.BLOCKED else waits.holds_up(row.pid) > 0
        case InTree():
            return row.pid in waits.pids
        case PidIn(pids):
            return row.pid in pids
        case _:
            assert_never(condition)


def _since(row: Backend, of: AgeOf) -> datetime | None:
    match of:
        case AgeOf.AGE:
            return row.backend_start
        case AgeOf.XACT:
            return row.xact_start
        case AgeOf.QUERY:
            runs = row.state in ("active", "fastpath function call")
            return row.query_start if runs else None
        case AgeOf.IDLE:
            return row.state_change if row.is_idle else None


def _matches(pattern: Pattern, values: Iterable[object]) -> bool:
    return any(value is not None and pattern.matches(str(value)) for value in values)


def _is_in(address: IPv4Address | IPv6Address | None, network: str) -> bool:
    return address is not None and address in ip_network(network)


def matching(crowd: Groups, terms: Iterable[Match], datname: str | None) -> tuple[Group, ...]:
    """The groups of a crowd (see `bot.domain.samples.Seen`) that meet all terms."""
    terms = list(terms)
    return tuple(
        group
        for group in crowd.largest
        if (datname is None or group.values[FIELDS.index(Field.DATNAME)] == datname)
        and all(_group_meets(group, term) for term in terms)
    )


def _group_meets(group: Group, term: Match) -> bool:
    value = group.values[FIELDS.index(term.field)]
    if term.field is Field.CLIENT_ADDR and (network := term.pattern.exact) is not None:
        return _is_in(None if value is None else ip_address(value), network) is not term.negated
    values = [value, group.values[-1]] if term.field is Field.WAIT_EVENT else [value]
    return _matches(term.pattern, values) is not term.negated


def counts_of(groups: Iterable[Group]) -> Counts:
    """The counts of a look that matched these groups of a crowd."""
    by_state: Counter[str] = Counter()
    waiting = 0
    begun = []
    for group in groups:
        by_state[group.values[FIELDS.index(Field.STATE)] or ""] += group.sessions
        if is_held_up(group.values[-1], group.values[FIELDS.index(Field.WAIT_EVENT)]):
            waiting += group.sessions
        if group.oldest_xact is not None:
            begun.append(group.oldest_xact)
    return Counts(by_state.total(), dict(by_state), waiting, min(begun, default=None))


def counted_by(groups: Iterable[Group], by: Iterable[Field], most: int) -> Groups:
    """The groups of a crowd, counted by fewer columns."""
    places = [FIELDS.index(column) for column in by]
    found = merged(
        Group(tuple(group.values[at] for at in places), group.sessions, group.oldest_xact)
        for group in groups
    )
    return Groups(found[:most], len(found), sum(group.sessions for group in found))
