"""What the lines of the log carry of a kill."""

import structlog

from bot.domain.kills import Proposal


def named(proposal: Proposal) -> dict[str, int | str]:
    """What the log's lines carry of a kill: its number, and the reference that it has.

    That is the one of the command that asked for it, whichever replica it came to.
    """
    reference = {"reference": proposal.reference} if proposal.reference else {}
    return {"kill": proposal.id, **reference}


def follow(proposal: Proposal) -> None:
    """Have this task's lines in the log carry what a kill is named by, from here on."""
    structlog.contextvars.bind_contextvars(**named(proposal))
