"""The use cases: look, propose, confirm, follow up, dismiss, history, recover.

Each reads gather, decide, act, record. Who may do it was asked right before, by the
caller, for every command and every click; what may die is asked by the statement that
signals.
"""

from collections.abc import Mapping

from bot.operations.claims import Claims
from bot.operations.clusters import Clusters, Health, Rules
from bot.operations.execute import Executing
from bot.operations.journal import Journal
from bot.operations.log_context import follow, named
from bot.operations.look import Looking
from bot.operations.propose import Proposing
from bot.operations.recover import Recovering
from bot.operations.second_look import Following
from bot.ports import Clock, Cluster, Ledger, Meter


class Operations:
    """The use cases over the clusters and the ledger. `owner` names this process."""

    def __init__(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        clusters: Mapping[str, Cluster],
        ledger: Ledger,
        clock: Clock,
        *,
        rules: Rules,
        owner: str,
        meter: Meter | None = None,
    ) -> None:
        self.clusters = Clusters(clusters, ledger, clock, rules)
        self.claims = Claims(ledger, clock, owner, meter)
        self._journal = journal = Journal(ledger, clock)
        looking = Looking(self.clusters, journal, clock)
        proposing = Proposing(self.clusters, ledger, journal, clock)
        executing = Executing(self.clusters, ledger, journal, self.claims, clock)
        recovering = Recovering(self.clusters, self.claims, clock)
        following = Following(self.clusters, self.claims, clock)

        self.health = self.clusters.health
        self.look, self.tree, self.inspect = looking.look, looking.tree, looking.inspect
        self.propose, self.propose_backends = proposing.propose, proposing.propose_backends
        self.preview_again, self.posted = proposing.preview_again, proposing.posted
        self.left_to_expire = proposing.left_to_expire
        self.confirm = executing.confirm
        self.recover = recovering.recover
        self.follow_up, self.catch_up = following.follow_up, following.catch_up
        self.left_behind = following.left_behind
        self.entry, self.dismiss, self.history = journal.entry, journal.dismiss, journal.history
        self.refused, self.first_time = journal.refused, journal.first_time

    async def settle(self) -> None:
        """Before the end: write what the ledger has not taken, once more; leave the second looks.

        Raises `LedgerError`.
        """
        try:
            await self.claims.settle()
        finally:
            await self._journal.settle()


__all__ = ["Health", "Operations", "Rules", "follow", "named"]
