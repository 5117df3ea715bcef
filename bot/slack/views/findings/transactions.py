"""`idle_in_transaction`, `horizon` and `waiting` in words. Pure."""

from collections.abc import Iterable

from bot.domain.blocking import HeldLock
from bot.domain.findings.model import Finding, HoldsBack, Idle, Waits
from bot.domain.findings.survey import Held, Holder, Survey
from bot.domain.findings.wait_events import meaning
from bot.slack.views import lines
from bot.slack.views.findings import words
from bot.slack.views.lines import Line, Quoted

_LOCKS = 3


def idle_head(idle: Idle, _: Finding, survey: Survey) -> Line:
    """Who is idle, for how long, and whether that matters."""
    nothing = ", and holds up nothing" if idle.pins_nothing else ""
    lasting = Quoted(words.lasting(idle.backend, survey), 100)
    has_been = "is" if idle.backend.state_age(survey.now) is None else "has been"
    return (f"pid {idle.backend.pid} {has_been} ", lasting, *words.on(survey), nothing)


def idle(idle: Idle, _: Finding, survey: Survey) -> Iterable[Line]:
    """What it holds."""
    yield words.who(idle.backend, survey)
    yield from words.query(idle.backend)
    if idle.pins_nothing:
        yield ("It holds no lock on a relation and holds back no vacuum: it only takes a slot.",)
        return
    if idle.locks is None:
        yield ("what it has locked was not read",)
    elif idle.locks:
        shown = lines.listed(tuple(Quoted(_lock(lock), 120) for lock in idle.locks), most=_LOCKS)
        yield ("nobody waits for it now; it holds ", *shown)
    else:
        yield ("it holds no lock on a relation",)
    if idle.holds_back:
        by = f" by {words.transactions(idle.xids)}" if idle.xids else ""
        yield (f"it holds back vacuum{by}",)


def _lock(lock: HeldLock) -> str:
    return f"{lock.mode} on {lock.on}" if lock.relation is not None else f"an {lock.locktype} lock"


def holds_back_head(holds_back: HoldsBack, _: Finding, survey: Survey) -> Line:
    """What holds back vacuum, and how far."""
    held = holds_back.held
    by = f" holds back vacuum by {words.transactions(held.xids)}"
    return (*holder(held, capital=True), by, *words.on(survey), words.since(held.since, survey))


def holder(held: Held, *, capital: bool = False) -> Line:
    """What holds back vacuum: `replication slot old_sub`, `pid 33507`.

    A standby that was given no name is called `walreceiver`: only its address tells which it is.
    """
    if held.kind is Holder.SESSION:
        return (f"pid {held.pid}",)
    kind = held.kind.capitalize() if capital else held.kind
    where = (f" from {held.client_addr}",) if held.client_addr is not None else ()
    return (f"{kind} ", Quoted(held.name or f"pid {held.pid}", 200), *where)


def holds_back(holds_back: HoldsBack, _: Finding, survey: Survey) -> Iterable[Line]:
    if holds_back.backend is not None:
        yield words.doing(holds_back.backend, survey)
        yield from words.query(holds_back.backend)
    if told := state(holds_back.held):
        yield told
    if holds_back.held.is_unused_slot and holds_back.held.since is None:
        yield ("since when, nothing tells before PostgreSQL 17: it may have been read just now",)


def state(held: Held) -> Line:
    """The state of a slot, the place of a prepared transaction, or why a standby needs old rows."""
    if held.kind is Holder.SLOT:
        wal = f" · WAL {held.wal_status}" if held.wal_status else ""
        what = "system catalogs only" if held.catalog_only else "every table"
        return (Quoted(f"{_status(held)}{wal} · it holds back {what}", 150),)
    if held.kind is Holder.STANDBY:
        return ("by hot_standby_feedback: a query there still needs old rows",)
    return ("in ", Quoted(held.datname)) if held.datname is not None else ()


def _status(held: Held) -> str:
    if held.is_copy:
        return "a copy of the primary's slot"
    if held.active:
        return "active: by hot_standby_feedback" if held.physical else "active"
    return f"inactive: {'its standby is not connected' if held.physical else 'nobody reads it'}"


def drop_if(held: Held) -> str:
    """What must be so before a slot is dropped; empty for what is no slot."""
    if held.kind is not Holder.SLOT:
        return ""
    if held.physical:
        return "if its standby is gone for good, "
    copies = " (the copies on standbys go with it)" if held.failover else ""
    return f"if nobody needs the slot any more{copies}, "


def holds_back_otherwise(holds_back: HoldsBack, _: Finding) -> Line:
    """What to do if there is nothing to end here."""
    match holds_back.held:
        case Held(physical=True, active=True, catalog_only=True):
            return ("look at the replication slots of its standby: one needs these rows.",)
        case Held(kind=Holder.STANDBY) | Held(physical=True, active=True):
            return ("end the query on the standby that needs these rows.",)
        case Held(is_copy=True):
            return ("look at the slot of that name on the primary: only there can it be dropped.",)
        case Held(kind=Holder.SLOT, active=True):
            return ("find out why the slot's consumer lags behind.",)
        case Held(kind=Holder.SLOT) as held:
            who = "standby" if held.physical else "consumer"
            return (f"see whether its {who} comes back before you drop the slot.",)
        case _:
            return ()


def waits_head(waits: Waits, _: Finding, survey: Survey) -> Line:
    """Who waits for which event."""
    one = f"pid {waits.backends[0].pid} waits"
    who = one if waits.number == 1 else f"{waits.number} sessions wait"
    return (f"{who} for ", Quoted(waits.event), *words.on(survey))


def waits(waits: Waits, _: Finding, survey: Survey) -> Iterable[Line]:
    """What the event means, and who waits."""
    told = meaning(waits.event_type, waits.event) or "PostgreSQL's documentation has its meaning"
    yield (Quoted(waits.event_type), f": {told}.")
    for backend in waits.backends:
        yield words.doing(backend, survey)
        yield from words.query(backend)
    one = waits.number == 1
    yield (f"how long {'it has' if one else 'they have'} waited for this, PostgreSQL doesn't say",)
