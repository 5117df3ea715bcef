"""The use cases: look, propose, confirm, follow up, dismiss, history, recover.

Each reads gather, decide, act, record. Who may do it was asked right before, by the
caller, for every command and every click; what may die is asked by the statement that
signals.
"""

from bot.operations.confirming import Confirming
from bot.operations.following import Following
from bot.operations.looking import Looking
from bot.operations.parts import Health, Rules, follow, named
from bot.operations.proposing import Proposing
from bot.operations.recording import Recording


class Operations(Looking, Proposing, Confirming, Following, Recording):
    """The use cases over the clusters and the ledger."""


__all__ = ["Health", "Operations", "Rules", "follow", "named"]
