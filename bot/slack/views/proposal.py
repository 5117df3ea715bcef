"""What several messages say of a kill: its command, its targets in a word, who did what. Pure."""

from bot.domain.kills import Action, Actor, Basis, Proposal
from bot.domain.sessions import Limit
from bot.grammar.requests import KILL
from bot.slack.views import targets
from bot.slack.views.lines import Line, Quoted, person
from bot.slack.views.text import count, used

REASON = 500
WORDING = 500
"""Characters that are shown, of a reason and of a command."""


def head_of(proposal: Proposal) -> Line:
    """`Terminate 3 sessions on main`."""
    return (f"{verb_of(proposal)} {objects_of(proposal)} on ", Quoted(proposal.cluster))


def verb_of(proposal: Proposal) -> str:
    """What the button does."""
    return "Terminate" if proposal.action is Action.TERMINATE else "Cancel"


def objects_of(proposal: Proposal) -> str:
    """`3 sessions`, or `3 queries` where these are cancelled."""
    number = len(proposal.targets)
    if proposal.action is Action.TERMINATE:
        return count(number, "session")
    return count(number, "query", "queries")


def command_of(wording: str) -> Line:
    """What was asked for, as it can be typed: a pid alone would be a bare number."""
    return (Quoted(f"{KILL} {wording}", WORDING, code=True),)


def change_of(before: Limit, after: Limit) -> Line:
    """`some_user 1 of 1 → 0 of 1`, and `connections 62 → 61 of 97`."""
    if before.name == after.name == "connections":
        return (f"connections {before.used} → {used(after)}",)
    return (Quoted(before.name), f" {used(before)} → {used(after)}")


def request_of(proposal: Proposal) -> Line:
    """What was asked for, or for one target who that is."""
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
    """Who did it, where somebody did."""
    return () if actor is None else (words, person(actor.user_id))
