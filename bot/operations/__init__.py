"""The use cases: look, diagnose, propose, confirm, follow up, dismiss, history, recover.

Each goes in this order: gather, decide, act, record. For every command and every click, the caller
has just found out where the person has which right (`Operations.within`); each use case compares
that with the clusters that it uses. The signalling statement checks what may die.
"""

from collections.abc import Mapping
from copy import copy

from bot.domain.people import NOWHERE, Reach
from bot.operations.alerts import NO_ALERTS, Alerting, AlertRules
from bot.operations.boards import Watching
from bot.operations.claims import Claims, bind_log, log_values
from bot.operations.clusters import Clusters, Health
from bot.operations.diagnose import Diagnosing
from bot.operations.execute import Executing
from bot.operations.grouping import Grouping
from bot.operations.journal import Journal
from bot.operations.look import Looking
from bot.operations.on_record import OnRecord
from bot.operations.past import LookingBack
from bot.operations.propose import Proposing
from bot.operations.recover import Recovering
from bot.operations.samples import Samples
from bot.operations.second_look import Following
from bot.operations.speaker import Speaker
from bot.ports import UNMEASURED, Clock, Cluster, Ledger, Meter, Rules


class Operations:
    """The use cases over the clusters and the ledger. `owner` names this process.

    By default the `reach` is nowhere: what a person asks for goes `within` that person's.
    """

    def __init__(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        clusters: Mapping[str, Cluster],
        ledger: Ledger,
        clock: Clock,
        *,
        rules: Rules,
        owner: str,
        meter: Meter = UNMEASURED,
        reach: Reach = NOWHERE,
        alerts: AlertRules = NO_ALERTS,
    ) -> None:
        self._ledger, self._clock = ledger, clock
        self.claims = Claims(ledger, clock, owner, meter)
        self.boards, self.speaker = ledger.boards, Speaker(ledger.leases, clock, owner)
        self._journal = Journal(ledger, clock)
        everything = Clusters(clusters, ledger, clock, rules, reach)
        self.samples = Samples(everything, clock, rules.sample_every, meter)
        self.alerting = Alerting(ledger.alerts, self.speaker, clock, alerts, meter)
        self.samples.follow(self.alerting.sampled)
        self._looking = Looking(everything, self._journal, clock)
        self.act_on(everything)

        recovering = Recovering(everything, self.claims, clock)
        following = Following(everything, self.claims, clock)
        self.recovery_is_due = recovering.is_due
        self.recover, self.left_behind = recovering.recover, following.left_behind
        self.follow_up, self.catch_up = following.follow_up, following.catch_up

    def within(self, reach: Reach) -> "Operations":
        """The same, on the clusters where a person has the right that each use case takes."""
        mine = copy(self)
        mine.act_on(self.clusters.within(reach))
        return mine

    def act_on(self, clusters: Clusters) -> None:
        """Have the use cases act on these clusters."""
        ledger, clock, journal = self._ledger, self._clock, self._journal
        self.clusters = clusters
        grouping = Grouping(clusters, journal, clock)
        self._looking = looking = self._looking.within(clusters)
        diagnosing = Diagnosing(clusters, journal, clock)
        proposing = Proposing(clusters, ledger, journal, clock, self.claims.previews)
        executing = Executing(clusters, ledger, journal, self.claims, clock, looking.forget)
        on_record = OnRecord(clusters, ledger, journal, clock)
        watching = Watching(clusters, ledger.boards, looking, clock)

        self.health = self.clusters.health
        self.look, self.tree, self.inspect = looking.look, looking.tree, looking.inspect
        self.standing = looking.standing
        self.groups = grouping.groups
        self.watch, self.board = watching.watch, watching.board
        self.stop_watching, self.open_boards = watching.stop_watching, watching.open_boards
        self.why, self.horizon = diagnosing.why, diagnosing.horizon
        self.finding = diagnosing.finding
        self.past = LookingBack(clusters, self.samples, journal, clock).past
        self.propose, self.propose_backends = proposing.propose, proposing.propose_backends
        self.preview_again, self.confirm = proposing.preview_again, executing.confirm
        self.left_to_expire, self.posted = proposing.left_to_expire, proposing.posted
        self.entry, self.outcome = on_record.entry, on_record.outcome
        self.dismiss, self.history = on_record.dismiss, on_record.history
        self.open_previews, self.open_alerts = on_record.open_previews, on_record.open_alerts
        self.unanswered = on_record.unanswered
        self.timeline, self.recent = on_record.timeline, on_record.recent
        self.refused, self.first_time = journal.refused, journal.first_time

    def stop(self) -> None:
        """The process was told to stop: kills under way take no further step."""
        self.claims.stopping.set()

    async def settle(self) -> None:
        """Before the process ends: try once more to write outcomes, and release the second looks.

        Raises `LedgerError`.
        """
        try:
            await self.claims.settle()
        finally:
            await self._journal.settle()


__all__ = ["AlertRules", "Health", "Operations", "Rules", "bind_log", "log_values"]
