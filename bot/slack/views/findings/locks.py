"""`blocker`, `ddl_queue`, `wraparound_vacuum`, `prepared_transaction`, `concurrent_index` in words.

Pure.
"""

from collections.abc import Iterable

from bot.domain.findings.model import Blocks, Builds, Cancel, Finding, Queue, Rule
from bot.domain.findings.survey import Survey
from bot.slack.views import lines
from bot.slack.views.findings import words
from bot.slack.views.lines import Line, Quoted
from bot.slack.views.text import age, capital, count, of_them

_LOCK = 150

_FURTHER = 4
"""How many requests of one queue are named besides its first."""


def blocks_head(blocks: Blocks, finding: Finding, survey: Survey) -> Line:
    """Who holds up how many, and since when."""
    on, since = words.on(survey), words.since(finding.since, survey)
    number = count(blocks.behind, "session")
    if finding.rule is Rule.WRAPAROUND_VACUUM:
        what = f"A vacuum to prevent wraparound holds up {number}"
        return (what, *on, f"{since}: leave the vacuum alone")
    if not blocks.behind:
        return (*_root(blocks, "The"), " is open", *on, since)
    return (*_root(blocks, "The"), f" holds up {number}", *on, since)


def _root(blocks: Blocks, the: str) -> Line:
    if blocks.prepared is not None:
        return (f"{the} prepared transaction ", Quoted(blocks.prepared.gid, 200))
    if blocks.pid > 0:
        return (f"pid {blocks.pid}",)
    return (f"{'A' if the.istitle() else 'a'} prepared transaction",)


def blocks(blocks: Blocks, finding: Finding, survey: Survey) -> Iterable[Line]:
    """Who it is, what it does, and what the others wait for."""
    if blocks.backend is not None:
        yield words.doing(blocks.backend, survey)
        yield from words.query(blocks.backend)
    elif (prepared := blocks.prepared) is not None:
        where: Line = (" in ", Quoted(prepared.datname)) if prepared.datname else ()
        yield (f"prepared {age(survey.now - prepared.prepared)} ago", *where, "; it has no session")
    else:
        yield ("what it is can't be seen",)
    if finding.rule is Rule.WRAPAROUND_VACUUM:
        for act in finding.acts:
            if isinstance(act, Cancel):
                yield ("in its way: ", *words.doing(act.backend, survey))
                yield from words.query(act.backend)
    if blocks.on is not None:
        yield ("they wait for ", Quoted(f"{blocks.on.mode} on {blocks.on.on}", _LOCK))
        if blocks.on.locktype == "advisory" and blocks.backend and blocks.backend.state == "idle":
            yield ("it has no open transaction: its session holds that lock until it unlocks it",)


def blocks_gain(blocks: Blocks, finding: Finding) -> str:
    """What ending it gains."""
    if finding.rule is Rule.WRAPAROUND_VACUUM:
        return " Try it again when the vacuum is done."
    if not blocks.behind:
        return ""
    return f" {capital(words.gain(blocks.freed, blocks.behind))}."


def blocks_otherwise(blocks: Blocks, finding: Finding) -> Line:
    """What to do if nothing can be ended here."""
    if finding.rule is Rule.WRAPAROUND_VACUUM:
        return ("wait for the vacuum, or withdraw the DDL.",)
    if blocks.backend is not None and blocks.backend.backend_type == "autovacuum worker":
        return ("wait: an ordinary autovacuum gives way by itself after deadlock_timeout.",)
    return ()


def queue_head(queue: Queue, finding: Finding, survey: Survey) -> Line:
    """Who is first in the queue, and how many wait because of it."""
    pids = [queue.head.pid, *(row.pid for row in queue.further)]
    head = f"pid {pids[0]} waits, and {words.wait(queue.behind)} behind it"
    why = f"only because of {'it' if len(pids) == 1 else 'such requests'}"
    only = of_them(queue.freed, queue.behind, why)
    return (head, *words.on(survey), f"{words.since(finding.since, survey)}: {only}")


def queue(queue: Queue, finding: Finding, survey: Survey) -> Iterable[Line]:
    """What it asks for, and whom it waits for."""
    yield words.doing(queue.head, survey)
    yield from words.query(queue.head)
    yield ("it asks for ", Quoted(f"{queue.wait.mode} on {queue.wait.on}", _LOCK))
    if queue.further:
        pids = lines.listed(tuple(f"pid {row.pid}" for row in queue.further), most=_FURTHER)
        yield ("behind it the same is asked by ", *pids, ": withdraw all of them")
    if not any(isinstance(act, Cancel) for act in finding.acts):
        yield ("the bot may not cancel it: if you can, withdraw it where it was started",)
    blocker = queue.blocker
    if blocker.backend is not None:
        yield ("it waits for ", *words.doing(blocker.backend, survey))
    else:
        yield ("it waits for ", *_root(blocker, "the"))


def queue_gain(queue: Queue, finding: Finding) -> str:
    """What cancelling it gains; or what ending the session that it waits for gains."""
    if not isinstance(finding.acts[0], Cancel):
        return blocks_gain(queue.blocker, finding)
    if queue.further:
        number, on = 1 + len(queue.further), words.go_on(queue.freed)
        return f" Once all {number} such requests are cancelled, {on}. Try them again one by one."
    return f" {words.go_on(queue.freed).capitalize()} at once. Try it again with lock_timeout."


def builds_head(builds: Builds, _: Finding, survey: Survey) -> Line:
    """Which build waits, and how far it is."""
    build = builds.build
    name = build.index_relname or build.relname
    of: Line = (" of ", Quoted(name, 130)) if name else ()
    waits = f" waits for other transactions, {build.lockers_done} of {build.lockers_total} done"
    return (Quoted(build.command, 60), *of, waits, *words.on(survey))


def builds(builds: Builds, finding: Finding, survey: Survey) -> Iterable[Line]:
    """Its phase, and whom it waits for now."""
    build = builds.build
    since = words.since(finding.since, survey)
    yield (f"pid {build.pid} · ", Quoted(build.phase, 80), since)
    if builds.locker is not None:
        yield ("now it waits for ", *words.doing(builds.locker, survey))
        yield from words.query(builds.locker)
    elif build.current_locker_pid is not None:
        yield (f"now it waits for pid {build.current_locker_pid}, which can't be seen",)
    yield ("Don't end the build itself: that leaves an invalid index, which has to be dropped.",)


def builds_gain(builds: Builds, _: Finding) -> str:
    """What ending the session that it waits for gains."""
    more = builds.build.lockers_total - builds.build.lockers_done - 1
    return f" The build goes on, to wait for {more} more." if more > 0 else " The build goes on."
