"""What is drawn: who does what, who clicks, and what happens to the processes meanwhile.

Chance draws incidents. In addition, each story is told once, so that none is missed. What is drawn
must not depend on what the servers do, or it could not be drawn again. So every rule can run at
any time, and numbers choose from whatever there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from hypothesis import strategies as st

from bot.domain.kills import Actor
from bot.slack.buttons import ActionId
from tests.integration.machine.processes import AGAIN, Fate, What
from tests.integration.machine.scene import (
    ANA,
    ASKERS,
    BEN,
    CORA,
    IDA,
    OLGA,
    PEOPLE,
    SAM,
    VERA,
)
from tests.integration.machine.victims import ROWS
from tests.integration.machine.world import REPLICAS

# --- sessions and events ----------------------------------------------------------------------

CAST = (
    ("web", "psql", "calls itself a client"),
    ("web", "etl", "begins"),
    ("web", "etl", "writes"),
    ("vip", "etl", "begins"),
    ("batch", "etl", "begins"),
    ("batch", "psql", "runs"),
    ("batch", "psql", "reads twice in a message"),
    ("web", "psql", "writes twice in a message"),
)
"""The sessions that come back in turn: role, application, and what each does first."""

EVENTS = (
    "a second passes",
    "the deadline passes",
    "a lease passes",
    "a lease passes",
    "a minute passes",
    "what was held up goes on",
    "what was held up goes on",
    "what was adrift arrives",
    "a process dies",
    "a ledger is found again",
    "all look for what is left",
    "all backends wake",
    "what heeds no cancel ends",
    "what heeds no cancel runs another query",
    "an address leads back",
    "Ben goes off duty",
    "Ben goes on duty",
    "Ben goes on duty",
    "batch is made a superuser",
    "batch is an ordinary role again",
)

DEEDS = (
    *(3 * ("goes on as it is",)),
    "begins",
    "commits",
    "commits and begins",
    "writes",
    "runs",
    "runs what heeds no cancel",
    "reads twice in a message",
    "writes twice in a message",
    "sends another query",
    "goes on to its next transaction",
    "calls itself a backup",
    "calls itself a backup",
    "calls itself a client",
    "is stunned",
    "is stunned",
    "leaves",
    "leaves its pid to another",
)

numbers = st.integers(0, 7)
newest = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 5))
people = st.sampled_from(PEOPLE)
askers = st.sampled_from(ASKERS)
processes = st.integers(0, REPLICAS - 1)
now_and_then = st.sampled_from((*(4 * (False,)), True))

# --- what happens to a process -------------------------------------------------------------------


def fates(*calls: str, share: float) -> st.SearchStrategy[Fate | None]:
    """What happens to a process at one of these calls; nothing except in this share of cases."""
    befalls = [
        Fate(call, nth, after, what)
        for call, nth, after, what in product(calls, (1, 1, 1, 2), (False, True), What)
    ]
    calm = round(len(befalls) * (1 - share) / share)
    # One flat choice: one_of uses the same strategy once, however often it is listed.
    return st.sampled_from((*(calm * (None,)), *befalls))


of_a_preview = fates("names", "look", "own_roles", "last_look", "propose", share=0.15)
of_a_click = fates(
    "get",
    "names",
    "look",
    "look",
    "renew",
    "claim",
    "claim",
    "signal",
    "signal",
    "signal",
    AGAIN,
    "sight",
    "conclude",
    share=0.6,
)
of_a_recovery = fates("lapsed", "sight", "conclude", "renew", share=0.5)


@dataclass(frozen=True)
class Plot:
    """What happens to a click, and then: things that chance would seldom cause."""

    fate: Fate
    then: tuple[str, ...]


GOES_ON = "it goes on"
HEIR = "another takes it over, and is held up"
AWAY = "its ledger is away for a lease"


def plots(where: str, whats: tuple[What, ...], *then: str) -> tuple[Plot, ...]:
    """One story, for each of these calls: `claim+` is right after the claim took effect."""
    return tuple(
        Plot(Fate(call.rstrip("+"), 1, call.endswith("+"), what), then)
        for call, what in product(where.split(), whats)
    )


def between(where: str, whats: tuple[What, ...], *then: str) -> tuple[Plot, ...]:
    """The same at the second step's calls, for one target."""
    plotted = plots(where, whats, *then)
    return tuple(
        replace(plot, fate=replace(plot.fate, nth=2 if plot.fate.call == "look" else 1))
        for plot in plotted
    )


HELD = (What.WAITS, What.STOPS)

PLOTS = (
    # It was paused until the preview had expired, or the signals were too late.
    *plots("look claim", HELD, "a minute passes", GOES_ON),
    *plots("look+ claim claim+ signal", HELD, "the deadline passes", GOES_ON),
    *plots("signal", (What.ADRIFT,), "the deadline passes", "what was adrift arrives"),
    # It lives and is slow: nobody else may conclude it.
    *plots(
        "signal signal+ sight conclude",
        (What.WAITS,),
        "a lease passes",
        "all look for what is left",
        GOES_ON,
    ),
    # It lives but could not renew its lease: it takes nothing from itself, but others may.
    *plots("signal sight", (What.WAITS,), AWAY, "all look for what is left", GOES_ON),
    *plots("signal sight", (What.WAITS,), AWAY, "the deadline passes", GOES_ON),
    # It is thought dead, but isn't: what it says comes too late.
    *plots(
        "claim+ signal+ sight conclude",
        (What.STOPS,),
        "a lease passes",
        "all look for what is left",
        GOES_ON,
    ),
    *plots("signal signal+ sight conclude", (What.STOPS,), "a lease passes", HEIR, GOES_ON),
    # It is dead.
    *plots(
        "claim+ signal signal+ conclude conclude+",
        (What.DIES,),
        "a lease passes",
        "all look for what is left",
    ),
)


SECOND_STEPS = (
    # It is paused between the steps, or a reply is lost: others may have taken its kill.
    *between(f"look look+ renew {AGAIN}", HELD, "the deadline passes", GOES_ON),
    *between(f"look renew {AGAIN}", (What.STOPS,), "a lease passes", HEIR, GOES_ON),
    *between("look", (What.WAITS,), AWAY, "all look for what is left", GOES_ON),
    *between(f"look renew renew+ {AGAIN}", (What.FAILS, What.DIES, What.TOLD, What.NO_LEDGER)),
    *between(AGAIN, (What.ADRIFT,), "the deadline passes", "what was adrift arrives"),
    # Its targets are not what they were.
    *between(f"look {AGAIN}", (What.WAITS,), "what heeds no cancel runs another query", GOES_ON),
    *between(f"look {AGAIN}", (What.WAITS,), "what heeds no cancel ends", GOES_ON),
)
"""What happens between the steps of a kill, or to the second."""


# --- what people and sessions do --------------------------------------------------------------


@dataclass(frozen=True)
class Deed:
    """What a session does."""

    what: str
    number: int
    row: int


@dataclass(frozen=True)
class Press:
    """A click; `elsewhere` is another channel than the preview's.

    A `stray` click goes to another bot than the preview's, with its own ledger.
    """

    what: ActionId
    actor: Actor
    process: int
    elsewhere: bool
    fate: Fate | None
    stray: bool = False


@dataclass(frozen=True)
class Clicks:
    """Several clicks at once, or none yet; and what happens `then`."""

    presses: tuple[Press, ...]
    then: tuple[str, ...] = ()


@dataclass(frozen=True)
class Incident:
    """Somebody asks for a preview, a target does something, and people click.

    The preview may show `earlier` sessions with the same pids, or an earlier run of the server;
    the test writes that into the ledger.
    """

    actor: Actor
    process: int
    fate: Fate | None
    earlier: str
    deed: Deed
    pause: str
    clicks: Clicks


deeds = st.builds(Deed, what=st.sampled_from(DEEDS), number=numbers, row=st.integers(1, ROWS))


def presses(
    *whats: ActionId, fate: st.SearchStrategy[Fate | None] = of_a_click
) -> st.SearchStrategy[Press]:
    """One click of one of these buttons."""
    return st.builds(
        Press,
        what=st.sampled_from(whats),
        actor=people,
        process=processes,
        elsewhere=st.sampled_from((*(9 * (False,)), True)),
        fate=fate,
        stray=st.sampled_from((*(11 * (False,)), True)),
    )


BUTTONS = (
    *(6 * (ActionId.KILL_TERMINATE,)),
    *(2 * (ActionId.KILL_CANCEL,)),
    *(2 * (ActionId.KILL_CANCEL_THEN_TERMINATE,)),
    ActionId.KILL_DISMISS,
)


@st.composite
def clicks_on(
    draw: st.DrawFn, *buttons: ActionId, how: tuple[str, ...] = ("once", "once", "plot", "at once")
) -> Clicks:
    """What people do with a preview."""
    match draw(st.sampled_from(how)):
        case "once":
            return Clicks((draw(presses(*buttons)),))
        case "plot":
            plot = draw(st.sampled_from(PLOTS))
            return Clicks((draw(presses(*buttons, fate=st.just(plot.fate))),), plot.then)
        case "at once":
            several = draw(st.sampled_from((2, 2, 3)))
            return Clicks(draw(st.tuples(*(several * (presses(*buttons),)))))
        case _:
            return Clicks(())


def incidents(*buttons: ActionId, deeds: st.SearchStrategy[Deed]) -> st.SearchStrategy[Incident]:
    """A preview, and what follows from it."""
    return st.builds(
        Incident,
        actor=askers,
        process=processes,
        fate=of_a_preview,
        earlier=st.sampled_from((*(10 * ("",)), "sessions", "run of the server")),
        deed=deeds,
        pause=st.sampled_from((*(11 * ("",)), "a minute passes")),
        clicks=clicks_on(*buttons, how=("once", "once", "plot", "plot", "at once", "later")),
    )


an_incident = incidents(*BUTTONS, deeds=deeds)
a_cancel = incidents(
    *(4 * (ActionId.KILL_CANCEL,)),
    *(4 * (ActionId.KILL_CANCEL_THEN_TERMINATE,)),
    ActionId.KILL_TERMINATE,
    deeds=st.builds(
        Deed,
        what=st.sampled_from(
            ("goes on as it is", "sends another query", "sends another query", "is stunned")
        ),
        number=numbers,
        row=st.just(1),
    ),
)


# --- what must happen -------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """An incident that must happen, and how its sessions are `named`: by pid or by filter.

    With `again`, the same is requested again at its end.
    """

    named: str
    incident: Incident
    again: bool = False


ALL_FOUR = (
    ("pids", ActionId.KILL_TERMINATE),
    ("xact>0s", ActionId.KILL_TERMINATE),
    ("what runs", ActionId.KILL_CANCEL),
    ("what runs, by pid", ActionId.KILL_CANCEL),
)
"""Both ways to name sessions, with both actions."""


def _click(what: ActionId = ActionId.KILL_TERMINATE, **changes: Any) -> Press:
    return replace(Press(what, ANA, 0, elsewhere=False, fate=None), **changes)


def _story(
    named: str,
    *presses: Press,
    then: tuple[str, ...] = (),
    again: bool = False,
    **changes: Any,
) -> Story:
    calm = Incident(ANA, 0, None, "", Deed("goes on as it is", 0, 1), "", Clicks(presses, then))
    return Story(named, replace(calm, **changes), again)


def stories() -> Iterator[Story]:
    """The plots, what a target may do meanwhile, what happens to a process, and who may click."""
    for at, plot in enumerate(PLOTS):
        for named, button in ALL_FOUR[at % 2 :: 2]:
            yield _story(named, _click(button, fate=plot.fate), then=plot.then)
    for what in sorted(set(DEEDS)):
        for named, button in ALL_FOUR:
            yield _story(named, _click(button), deed=Deed(what, 0, 1))
    for call, befalls in product(("claim", "signal", "conclude"), What):
        yield _story("user=web", _click(fate=Fate(call, 1, True, befalls)), then=(GOES_ON,))
    # Another role, which is protected, has the same number here.
    for how, pause in ((What.MOVED, "an address leads back"), (What.SPLIT, "")):
        misled = Fate("names", 1, True, how)
        yield _story("user=web", _click(fate=misled), fate=misled, pause=pause)
    for named, button in ALL_FOUR[1::2]:
        yield _story(named, _click(button, fate=Fate("claim", 1, False, What.LOCKED)))
    for number in range(4):  # of one that only reads, and of one that writes
        deed = Deed("goes on to its next transaction", number, 1)
        yield _story("pids", _click(), deed=deed)
        for grows in ("begins", "writes"):  # it still matches, but ending it costs more
            yield _story("user=web", _click(), deed=Deed(grows, number, 1))
    yield _story("some_db all", _click())  # a superuser's session, which isn't a target
    # PostgreSQL refuses what wasn't known at the preview.
    yield _story("some_db all", _click(), pause="batch is made a superuser")
    for earlier in ("sessions", "run of the server"):
        for named, button in ALL_FOUR:
            yield _story(named, _click(button), earlier=earlier, again=True)
    for button in sorted(set(BUTTONS)):
        yield _story("pids", _click(button), pause="a minute passes")
        yield _story("pids", _click(button, elsewhere=True))
        yield _story("pids", _click(button, stray=True))
        yield _story("pids", _click(button, actor=BEN), pause="Ben goes off duty")
        yield _story("pids", _click(button, actor=BEN), pause="Ben goes on duty")
        for nobody in (VERA, SAM, OLGA, IDA):
            yield _story("pids", _click(button, actor=nobody))
        # Who may only cancel: on somebody else's preview, and on her own.
        for named in ("what runs", "what runs, by pid"):
            yield _story(named, _click(button, actor=CORA))
            yield _story(named, _click(button, actor=CORA), actor=CORA, again=True)
            yield _story(named, _click(button), actor=CORA)
        for other in sorted(set(BUTTONS)):
            yield _story("user=web", _click(button), _click(other, actor=BEN, process=1))


def stories_of_two_steps() -> Iterator[Story]:
    """Of a query that heeds no cancel, and of one that does."""
    escalate = ActionId.KILL_CANCEL_THEN_TERMINATE
    for named in ("what runs on", "what runs on, by pid"):
        for deed in ("goes on as it is", "is stunned", "leaves"):
            yield _story(named, _click(escalate), deed=Deed(deed, 0, 1), again=True)
        yield _story(named, _click(ActionId.KILL_CANCEL))
        yield _story(named, _click(escalate, actor=CORA))
        yield _story(named, _click(escalate), actor=CORA)
    for named in ("what runs", "what runs, by pid"):
        yield _story(named, _click(escalate))
    for at, plot in enumerate(SECOND_STEPS):
        named = ("what runs on", "what runs on, by pid")[at % 2]
        yield _story(named, _click(escalate, fate=plot.fate), then=plot.then)


def stories_of_two() -> Iterator[Story]:
    """Stories in which the person who asks may not confirm."""
    both = ("what runs on", ActionId.KILL_CANCEL_THEN_TERMINATE)
    for named, button in (*ALL_FOUR, both, ("pids", ActionId.KILL_DISMISS)):
        yield _story(named, _click(button))
        yield _story(named, _click(button, actor=BEN))
        yield _story(named, _click(button), _click(button, actor=BEN, process=1))
