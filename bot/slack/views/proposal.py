"""What several messages say about a kill: its command, its targets, who did what. Pure."""

from bot.domain.kills import Action, Actor, Basis, Proposal
from bot.domain.people import Right
from bot.domain.sessions import Backend, Limit
from bot.grammar.requests import KILL
from bot.slack.views import targets
from bot.slack.views.lines import Line, Quoted, person
from bot.slack.views.text import count, used

REASON = 500
WORDING = 500
"""How many characters of a reason or a command are shown."""


def head_of(proposal: Proposal) -> Line:
    """`Terminate 3 sessions on main`."""
    return (f"{verb_of(proposal)} {objects_of(proposal)} on ", Quoted(proposal.cluster))


def verb_of(proposal: Proposal) -> str:
    """What the button does."""
    return "Terminate" if proposal.action is Action.TERMINATE else "Cancel"


def right_of(proposal: Proposal) -> Right:
    """The right that confirming the whole of it takes."""
    return Right.CANCEL if proposal.action is Action.CANCEL else Right.KILL


def objects_of(proposal: Proposal) -> str:
    """`3 sessions`, or the queries that they run if these are cancelled: `2 queries`."""
    if proposal.action is Action.TERMINATE:
        return count(len(proposal.targets), "session")
    return count(len(running_in(proposal)), "query", "queries")


def running_in(proposal: Proposal) -> list[Backend]:
    """The targets that run a query."""
    return [each.seen for each in proposal.targets if each.seen.state == "active"]


def command_of(wording: str) -> Line:
    """The request as it can be typed; a pid alone would be just a number."""
    return (Quoted(f"{KILL} {wording}", WORDING, code=True),)


def change_of(before: Limit, after: Limit) -> Line:
    """`some_user 1 of 1 → 0 of 1`, and `connections 62 → 61 of 97`."""
    if before.name == after.name == "connections":
        return (f"connections {before.used} → {used(after)}",)
    return (Quoted(before.name), f" {used(before)} → {used(after)}")


def request_of(proposal: Proposal) -> Line:
    """The request or, for one target, who that is."""
    if len(proposal.targets) == 1:
        return (*targets.who(proposal.targets[0].seen), " · ", *command_of(proposal.wording))
    return command_of(proposal.wording)


def signed_of(proposal: Proposal, did: str, actor: Actor | None) -> Line:
    """Who asked for it, and who did what."""
    line: Line = ("asked by ", person(proposal.asked_by.user_id))
    if actor is not None:
        line += (f" · {did}", person(actor.user_id))
    if proposal.basis is Basis.IDENTITY:
        line += (" · whatever it ran",)
    return line


def by_of(words: str, actor: Actor | None) -> Line:
    """Who did it, if anyone did."""
    return () if actor is None else (words, person(actor.user_id))
