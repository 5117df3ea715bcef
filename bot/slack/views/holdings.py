"""What the end of a preview's sessions takes with it, besides their transactions. Pure."""

from collections.abc import Iterable, Iterator

from bot.domain.holdings import FIND_INVALID, Holdings, Told, told
from bot.domain.kills import Action, Target
from bot.operations.results import Preview
from bot.slack.views import blocks, lines
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted
from bot.slack.views.targets import LISTED
from bot.slack.views.text import count

_NAMED = 3
"""How many slots or prepared transactions of a session are named."""

_TOLD = {
    Told.LISTEN: "its last statement was LISTEN: its client gets no more notifications",
    Told.TEMPORARY: "its last statement made a temporary table, which goes with it",
}


def costs(answer: Preview) -> Iterable[Line]:
    """A line for each thing; the index builds come first."""
    written = [*_builds(answer)]
    if answer.proposal.action is Action.TERMINATE:
        written += (
            (*_of(target, answer), *line)
            for target in answer.proposal.targets
            for line in _ended(target, answer.holdings.get(target.id.pid, Holdings()))
        )
    yield from written[:LISTED]
    if (more := len(written) - LISTED) > 0:
        yield (f"⚠ {count(more, 'more such cost', 'more such costs')}",)
    if answer.holdings_unread:
        what = "index builds, advisory locks and replication slots could not be read"
        yield (f"⚠ What else they may have: {what}.",)


def statements(answer: Preview) -> Iterable[Block]:
    """What people run after the end of an index build. The bot doesn't run it."""
    for target, holdings in _with_builds(answer):
        assert holdings.build is not None  # noqa: S101
        drop = holdings.build.drop
        where: Line = (" in ", Quoted(target.seen.datname)) if target.seen.datname else ()
        # The build may be done before it is ended: then the index is valid, and in use.
        does = "if the index is invalid, drop it" if drop else "find the invalid index"
        yield blocks.paragraph((f"Afterwards, {does}", *where, ":"))
        yield blocks.preformatted(drop or FIND_INVALID)


def _with_builds(answer: Preview) -> list[tuple[Target, Holdings]]:
    found = [(each, answer.holdings.get(each.id.pid)) for each in answer.proposal.targets]
    return [(target, held) for target, held in found if held and held.build][:_NAMED]


def _builds(answer: Preview) -> Iterator[Line]:
    for target in answer.proposal.targets:
        held = answer.holdings.get(target.id.pid)
        if held is not None and held.build is not None:
            command = held.build.command
            yield (*_of(target, answer), f"it runs {command}: its end leaves an invalid index.")


def _ended(target: Target, held: Holdings) -> Iterator[Line]:
    if held.advisory:
        number = count(held.advisory, "advisory lock")
        yield (f"it holds {number}, which others can then take.",)
    for slot in held.slots[:_NAMED]:
        name = Quoted(slot.name)
        if slot.temporary:
            yield ("its temporary replication slot ", name, " is dropped.")
        else:
            yield ("it reads from the replication slot ", name, ", which stays.")
    if held.prepared:
        named = lines.listed(tuple(Quoted(gid, 30) for gid in held.prepared), most=_NAMED)
        stay = "prepared transaction of its role stays", "prepared transactions of its role stay"
        yield (f"{count(len(held.prepared), *stay)}: ", *named, ".")
    yield from ((f"{_TOLD[each]}.",) for each in told(target.seen))


def _of(target: Target, answer: Preview) -> Line:
    if len(answer.proposal.targets) == 1:
        return ("⚠ ",)
    return (f"⚠ pid {target.id.pid}: ",)
