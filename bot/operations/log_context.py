"""What log lines say about a kill."""

import structlog

from bot.domain.kills import Proposal


def named(proposal: Proposal) -> dict[str, int | str]:
    """A kill's number and reference, for log lines.

    The reference is that of the command that asked for the kill, whichever replica handled it.
    """
    reference = {"reference": proposal.reference} if proposal.reference else {}
    return {"kill": proposal.id, **reference}


def follow(proposal: Proposal) -> None:
    """Add a kill's number and reference to this task's log lines from here on."""
    structlog.contextvars.bind_contextvars(**named(proposal))
