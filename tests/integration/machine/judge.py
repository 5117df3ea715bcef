"""The judge: it knows what people saw and clicked, and checks the results.

It stands between the processes and the real parts, passes on every call and sees its effect: what
became of a claim, what a session was doing when it was signalled. It collects the errors that it
finds, because code that catches everything must not hide them.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from bot.domain.instants import from_us
from bot.domain.kills import (
    LEASE,
    SIGNAL_WINDOW,
    Action,
    Actor,
    Basis,
    Conclusion,
    Draft,
    Outcome,
    Proposal,
    Reason,
    Result,
)
from bot.domain.sessions import BackendId, Look, Names
from bot.domain.signals import Guard, Reply, Verdict
from bot.ledger.sql import SqlLedger
from bot.operations.results import NotClaimed, NothingToKill, Preview
from bot.ports import Urgency
from bot.postgres.cluster import PostgresCluster
from tests.integration.machine.processes import WORK, Time
from tests.integration.machine.scene import (
    ANA,
    BEN,
    BOT,
    CORA,
    IDA,
    KEEPER,
    SUPERUSER,
    Doing,
    Eyes,
    Frozen,
    Kind,
    Record,
    Shot,
    Shown,
)
from tests.integration.machine.victims import (
    Maybe,
    Message,
    Moment,
    Victim,
    moment,
    settled,
)
from workspace.people import PATIENCE

CONFIRM_TTL = timedelta(seconds=60)

CLOCKS_APART = 0.01
"""Seconds: the ledger in SQLite has a precision of milliseconds."""

HIT = (Outcome.TERMINATED, Outcome.CANCELLED, Outcome.STILL_RUNNING)
GONE = (Outcome.TERMINATED, Outcome.ALREADY_GONE)


class Judge:
    """What has happened in an example, and what is wrong with it."""

    def __init__(
        self, eyes: Eyes, record: Record, time: Time, tally: Counter[str], kind: Kind
    ) -> None:
        self.residents: set[BackendId] = set()
        """Protected sessions on another server."""
        self._eyes = eyes
        self._record = record
        self._time = time
        self._tally = tally
        self._kind = kind
        self._forget()

    def _forget(self) -> None:
        self.second_person = False
        self.on_duty = True
        self.superusers = {SUPERUSER}
        self.victims: list[Victim] = []
        self.previews: list[Shown] = []
        self.works: list[Doing] = []
        self._shots: dict[Victim, list[Shot]] = {}
        self._still = True  # whether nothing moves by itself
        self._wrongs: list[str] = []
        self._kept: set[int] = set()  # every proposal in the ledger
        self._skipped_at: dict[datetime, float] = {}
        self._denied = 0
        self._tried = 0
        self._refusals = 0

    async def begin(self, *, second_person: bool) -> None:
        """Forget everything except its records."""
        self._forget()
        self.second_person = second_person
        self._refusals = len(await self._record.rows("select id from refusals"))

    def wrong(self, what: str) -> None:
        """Note an error."""
        self._wrongs.append(what)

    def raise_wrongs(self) -> None:
        """Fail if there were errors."""
        wrongs, self._wrongs = self._wrongs, []
        assert not wrongs, "\n".join(wrongs)

    # --- what it knows --------------------------------------------------------------------

    def may_kill(self, actor: Actor) -> bool:
        """Whether a person has the right now."""
        return actor == ANA or (actor == BEN and self.on_duty)

    def may(self, actor: Actor, action: Action) -> bool:
        """Whether someone may do that on this cluster."""
        return self.may_kill(actor) or (action is Action.CANCEL and actor == CORA)

    def is_let_in(self, actor: Actor, action: Action) -> bool:
        """Whether someone may do that on any cluster, this one or another."""
        return self.may(actor, action) or actor == IDA

    def spared(self, victim: Victim) -> bool:
        """Whether the bot never signals it."""
        return (
            victim.usename in ("vip", "standby", BOT)
            or (victim.usename == KEEPER and self._kind == "postgresql")
            or victim.app.startswith("backup")
        )

    def offered(self, victim: Victim) -> bool:
        """Whether a preview may have it as a target: not if only a superuser can end it."""
        return not self.spared(victim) and victim.usename not in self.superusers

    async def there(self, victims: Iterable[Victim]) -> list[Victim]:
        """Which of these exist, as a superuser sees it."""
        rows = await self._eyes.fetch("select pid, backend_start from pg_stat_activity")
        there = {(row["pid"], row["backend_start"]) for row in rows}
        return [v for v in victims if (v.pid, v.backend_start) in there]

    async def until_gone(self, victims: list[Victim]) -> None:
        """Wait until none of these exists."""
        async with asyncio.timeout(PATIENCE):
            while await self.there(victims):
                await asyncio.sleep(0.002)

    def met(self, victim: Victim) -> None:
        """A session has arrived."""
        self.victims.append(victim)
        self._shots[victim] = []

    def begun(self, doing: Doing) -> None:
        """Some work was started."""
        self.works.append(doing)
        self._tried += not doing.allowed

    def lost(self, refusals: int) -> None:
        """A process died before these were on record, within the moment that notes are gathered."""
        self._denied -= refusals

    def number(self, key: str) -> int:
        """The number of a preview that was shown."""
        return next(shown.id for shown in self.previews if shown.key == key)

    def _shown(self, kill_id: int) -> Shown | None:
        return next((shown for shown in self.previews if shown.id == kill_id), None)

    # --- what it sees of the cluster --------------------------------------------------------

    async def about_to_look(self, doing: Doing) -> None:
        """Note what a person who asks for a preview can see."""
        if doing.holds is None:
            return
        now = await moment(self._eyes, still=self._still)
        cutoff = doing.cutoff or doing.names_read
        for victim in await self.there(self.victims):
            cost = victim.cost(still=self._still)
            frozen = Frozen(victim, victim.transaction, victim.message, cost)
            doing.seen[victim] = (frozen, doing.holds(victim, cutoff, now))

    def looked(self, doing: Doing, look: Look) -> None:
        """Note the instant from which a look's deadline counts."""
        self._skipped_at[look.server.now] = self._time.skipped
        doing.looked_at = self._time.now()

    async def signal(self, cluster: PostgresCluster, guard: Guard) -> Reply:
        """Send a signalling statement, and see what it does."""
        doing = cast("Doing", WORK.get())
        shown = doing.shown
        if shown is None or doing.actor is None:
            self.wrong(f"{doing.name} signals {guard.target.pid}")
            return await cluster.signal(guard)
        if any(w is not doing and w.shown is shown and w.shots for w in self.works):
            self.wrong(f"kill {shown.id} is executed twice")
        row = await self._record.kill(shown.id)
        intent = (row["claimed_at"] is not None, row["confirmed_by"], row["confirmed_action"])
        if intent != (True, doing.actor.user_id, doing.action.value):
            self.wrong(f"kill {shown.id} signals with {intent} for its intent")
        there = await self.there(self.victims)
        victim = next((v for v in there if v.pid == guard.target.pid), None)
        now = await moment(self._eyes, still=self._still)
        step = guard.action
        judged = self._may_die(doing, step, shown, guard.target, victim, now)
        shot = Shot(doing, step, victim, *judged)
        if step is Action.CANCEL_THEN_TERMINATE:
            first = doing.shots.get(guard.target)
            if first is None or first.verdict is not Verdict.SIGNALLED:
                self.wrong(f"kill {shown.id} terminates {guard.target}, which it did not cancel")
            doing.seconds[guard.target] = shot
        else:
            doing.shots[guard.target] = shot
        if victim is not None:
            shot.message = victim.message
            self._shots[victim].append(shot)
        # PostgreSQL's own clock can't be moved: the deadline is moved closer instead.
        since = self._skipped_at.get(guard.deadline - SIGNAL_WINDOW, self._time.skipped)
        passed = timedelta(seconds=self._time.skipped - since)
        shot.moving, self._still = not self._still, False
        reply = await cluster.signal(replace(guard, deadline=guard.deadline - passed))
        shot.verdict = reply.verdict
        self._tally[f"verdict: {reply.verdict}"] += 1
        if reply.verdict is Verdict.SIGNALLED:
            if (row["state"], row["owner"]) != ("claimed", doing.life.owner):
                self.wrong(f"kill {shown.id} signals, and is {row['state']} by {row['owner']}")
            if shot.right is False:
                self.wrong(f"kill {shown.id} signals {guard.target}: should be {shot.becomes}")
        return reply

    def _may_die(
        self,
        doing: Doing,
        step: Action,
        shown: Shown,
        target: BackendId,
        victim: Victim | None,
        now: Moment,
    ) -> tuple[Maybe, frozenset[Outcome]]:
        """Whether the backend with that pid may be signalled, and which outcomes are allowed."""
        if not shown.of_this_server:
            return False, frozenset({Outcome.SERVER_CHANGED})
        frozen = shown.targets.get(target)
        if victim is None or frozen is None or frozen.victim is not victim:
            return False, frozenset({Outcome.ALREADY_GONE})
        if self.spared(victim):
            return False, frozenset({Outcome.PROTECTED})
        cancels, is_second = step is Action.CANCEL, step is Action.CANCEL_THEN_TERMINATE
        runs_it = frozen.message is not None and victim.message is frozen.message
        if not runs_it and (cancels or is_second):
            became = Outcome.CANCELLED if is_second else Outcome.ALREADY_FINISHED
            return False, frozenset({became})
        if is_second and not victim.is_deaf:
            # It was cancelled a moment ago, and may just be ending.
            return None, frozenset({Outcome.CANCELLED})
        matches: Maybe = True
        same: Maybe = True
        if is_second or (shown.basis is Basis.PID and not cancels):
            same = victim.transaction is frozen.transaction
        if shown.basis is Basis.FILTER:
            matches = shown.holds(victim, shown.cutoff, now)
            if doing.action is not Action.CANCEL and same:
                same = _costs_no_more(victim, frozen, still=now.still)
        since = doing.looked_at if is_second else shown.claimed_at
        late = self._time.now() > since + SIGNAL_WINDOW.total_seconds()
        never = late or shown.claimed_by is not doing or victim.usename in self.superusers
        becomes = set()
        if matches is not True:
            becomes.add(Outcome.NO_LONGER_MATCHES)
        if matches is not False and same is not True:
            becomes.add(Outcome.CHANGED)
        if becomes:
            right: Maybe = False if False in (matches, same) or never else None
            return right, frozenset(becomes)
        if never:
            return False, frozenset({Outcome.INTERRUPTED if late else Outcome.NOT_PERMITTED})
        return True, frozenset({Outcome.CANCELLED if cancels else Outcome.TERMINATED})

    # --- what it sees of the ledger ---------------------------------------------------------

    def kept(self, kill_id: int) -> None:
        """A proposal is in the ledger."""
        self._kept.add(kill_id)

    def claimed(self, kill_id: int, owner: str, began: float) -> None:
        """A preview was claimed: was that possible, and by this person?"""
        doing, shown = cast("Doing", WORK.get()), self._shown(kill_id)
        if shown is None or doing.shown is not shown or doing.actor is None:
            self.wrong(f"kill {kill_id} is claimed, and nobody clicked on it")
            return
        problems = {
            "by one who may not": not doing.allowed,
            "from another channel": doing.channel != shown.channel,
            "after it was dismissed": shown.dismissed,
            "a second time": shown.claimed_by is not None,
            "after it had expired": began > shown.expires[1],
            "by the one who asked": self.second_person and doing.actor == shown.asked_by,
        }
        for problem in (problem for problem, holds in problems.items() if holds):
            self.wrong(f"kill {kill_id} is claimed {problem}")
        shown.claimed_by, shown.claimed_at = doing, began
        self._lease(shown, owner, began)
        self._tally["claimed"] += 1

    def _lease(self, shown: Shown, owner: str, began: float) -> None:
        length = LEASE.total_seconds()
        shown.owner = owner
        shown.lease = (began + length - CLOCKS_APART, self._time.now() + length + CLOCKS_APART)

    def renewed(self, kill_id: int, owner: str, began: float) -> None:
        """A lease was renewed."""
        shown = self._shown(kill_id)
        if shown is None or shown.owner != owner:
            self.wrong(f"kill {kill_id} is renewed by {owner}, which does not have it")
        elif shown.lease[1] < began:
            self.wrong(f"the lease of kill {kill_id} is renewed after its end")
        else:
            self._lease(shown, owner, began)
            self._tally["lease renewed"] += 1

    def taken_over(self, kill_id: int, owner: str, began: float) -> None:
        """A claim was taken over: had its lease run out, and its owner stopped?"""
        shown = self._shown(kill_id)
        if shown is None or shown.claimed_by is None:
            self.wrong(f"kill {kill_id} is taken over, and nobody has claimed it")
            return
        if self._time.now() < shown.lease[0]:
            self.wrong(f"kill {kill_id} is taken from {shown.owner} within its lease")
        by = shown.claimed_by
        if shown.owner == by.life.owner and by.life.runs and by.under_way and by.keeps_its_lease:
            self.wrong(f"kill {kill_id} is taken from {shown.owner}, which is at work on it")
        if owner == by.life.owner and by.under_way:
            self.wrong(f"kill {kill_id} is taken by {owner} from itself, which is at work on it")
        cast("Doing", WORK.get()).taken.add(kill_id)
        self._lease(shown, owner, began)
        self._tally["taken over"] += 1

    async def about_to_record(self, conclusion: Conclusion) -> None:
        """Nobody is reported gone, and no query ended, before it is true."""
        shown = self._shown(conclusion.proposal.id)
        if shown is None:
            return
        said = {shown.targets[r.id].victim: r.outcome for r in conclusion.results}
        frozen_of = {frozen.victim: frozen for frozen in shown.targets.values()}
        for victim in await self.there(v for v in said if v is not None):
            if said[victim] in GONE:
                self.wrong(f"kill {shown.id} says that {victim} is gone")
            goes_on = victim.message is not None and (victim.stopped or victim.is_deaf)
            if said[victim] is Outcome.CANCELLED and goes_on:
                now_runs, shown_then = victim.message, frozen_of[victim].message
                if now_runs is shown_then:
                    self.wrong(f"kill {shown.id} says that the query of {victim} was cancelled")

    def recorded(self, conclusion: Conclusion, owner: str) -> None:
        """An outcome was recorded, for the first time or again."""
        shown = self._shown(conclusion.proposal.id)
        if shown is None or shown.owner != owner:
            self.wrong(f"kill {conclusion.proposal.id} is concluded by {owner}, not its owner")
        elif shown.said is None:
            shown.said = conclusion.results

    def dismissed(self, kill_id: int, actor: Actor, began: float) -> None:
        """A preview was dismissed: was it open, and might this person dismiss it?"""
        doing, shown = cast("Doing", WORK.get()), self._shown(kill_id)
        if shown is None or doing.shown is not shown or not doing.allowed:
            self.wrong(f"kill {kill_id} is dismissed by {actor}")
        elif not shown.is_open or began > shown.expires[1]:
            self.wrong(f"kill {kill_id} is dismissed, and was not open")
        if shown is not None:
            shown.dismissed = True

    async def amended(self, kill_id: int, amendments: tuple[Result, ...]) -> None:
        """Something was learned after the outcome: is it true?"""
        shown = self._shown(kill_id)
        assert shown is not None
        shown.amended = True
        for result in amendments:
            says_gone = result.outcome is Outcome.TERMINATED or "gone now" in result.detail
            victim = shown.targets[result.id].victim
            if says_gone and victim is not None and await self.there([victim]):
                self.wrong(f"kill {kill_id} says later of {victim} {result}")
            self._tally[f"amended: {result.outcome}"] += 1

    # --- what it says -----------------------------------------------------------------------

    async def judge(self, doing: Doing) -> None:
        """Check the result of work that is done."""
        if doing.judged or doing.under_way:
            return
        doing.judged = True
        answer = doing.answer
        if doing.calm and doing.error is not None:
            self.wrong(f"{doing.name} met {doing.error!r}, and nothing was in its way")
        match answer:
            case Preview():
                self._judge_preview(doing, answer)
            case NothingToKill() if doing.calm:
                self._judge_targets(doing, set())
            case Conclusion() if doing.shown is not None:
                await self._judge_conclusion(doing, doing.shown, answer)
            case tuple() if doing.name == "recover":
                for conclusion in answer:
                    await self._judge_recovered(doing, conclusion)
            case "denied":
                self._denied += doing.calm and not doing.stray
            case _:
                pass
        said = answer if isinstance(answer, str) else type(answer).__name__
        if isinstance(answer, NotClaimed):
            said += f": {answer.why.name.lower().replace('_', ' ')}"
        if doing.calm and not said.startswith(doing.should):
            self.wrong(f"{doing.name} by {doing.actor} should be {doing.should}, not {said}")
        self._tally[f"{doing.name}: {said}"] += 1
        if doing.befell and doing.fate is not None:
            self._tally[f"a process {doing.fate.what}"] += 1

    def _judge_preview(self, doing: Doing, answer: Preview) -> None:
        """Check that a preview shows the right sessions; from now on people may click it."""
        proposal = answer.proposal
        assert doing.holds is not None
        known = {BackendId(v.pid, v.backend_start): frozen for v, (frozen, _) in doing.seen.items()}
        targets = {target.id: known.get(target.id, Frozen(None)) for target in proposal.targets}
        if doing.calm:
            self._judge_targets(doing, {frozen.victim for frozen in targets.values()})
        if self.residents & set(targets):
            self.wrong(f"{doing.name} shows who is protected, on another server")
        if proposal.basis is not doing.basis:
            self.wrong(f"{doing.name} goes by {proposal.basis}, not {doing.basis}")
        if proposal.action is not doing.action:
            self.wrong(f"{doing.name} offers {doing.actor} to {proposal.action}")
        self._tally[f"a preview to {proposal.action}"] += 1
        ttl = CONFIRM_TTL.total_seconds()
        began, ended = doing.kept
        self.previews.append(
            Shown(
                id=proposal.id,
                key=proposal.key,
                asked_by=proposal.asked_by,
                channel=proposal.channel_id,
                basis=proposal.basis,
                action=doing.action,
                holds=doing.holds,
                cutoff=doing.cutoff or doing.names_read,
                expires=(began + ttl - CLOCKS_APART, ended + ttl + CLOCKS_APART),
                targets=targets,
            )
        )

    def _judge_targets(self, doing: Doing, targets: set[Victim | None]) -> None:
        for victim, (_, asked) in doing.seen.items():
            if victim in targets and (asked is False or not self.offered(victim)):
                self.wrong(f"{doing.name} shows {victim}")
            if victim not in targets and asked and self.offered(victim):
                self.wrong(f"{doing.name} leaves out {victim}")

    async def _judge_conclusion(self, doing: Doing, shown: Shown, conclusion: Conclusion) -> None:
        """Check that a click did what it should, and said what it did."""
        if {result.id for result in conclusion.results} != set(shown.targets):
            self.wrong(f"kill {shown.id} says nothing of some of its targets")
        await self.about_to_record(conclusion)
        for result in conclusion.results:
            shot, frozen = doing.shots.get(result.id), shown.targets[result.id]
            second = doing.seconds.get(result.id)
            if result.outcome is not Outcome.CANCELLED:
                shot = second or shot
            if result.outcome in HIT and (shot is None or shot.verdict is not Verdict.SIGNALLED):
                self.wrong(f"kill {shown.id} says {result}, and did not signal it")
            if doing.calm:
                self._judge_result(doing, result, second or shot, frozen)
            if doing.action is Action.CANCEL_THEN_TERMINATE:
                self._judge_steps(doing, result, second)
            self._tally[f"outcome: {result.outcome}"] += 1

    def _judge_steps(self, doing: Doing, result: Result, second: Shot | None) -> None:
        """Check that what is said of each step is what it did."""
        went_on = result.first_step is Outcome.STILL_RUNNING
        unsaid = (Outcome.INTERRUPTED, Outcome.UNKNOWN)
        if second is None and went_on and (doing.calm or result.outcome not in unsaid):
            self.wrong(f"{doing.name}: {result}, and there was no second step")
        is_own = doing.shown is not None and doing.shown.owner == doing.life.owner
        was_sent = second is not None and second.verdict is Verdict.SIGNALLED
        if is_own and was_sent and not went_on:
            self.wrong(f"{doing.name}: {result}, and it was terminated")
        if doing.calm and result.first_step is None:
            self.wrong(f"{doing.name}: {result}, and nothing is said of the first step")
        if went_on:
            taken = "not taken" if second is None else result.outcome
            self._tally[f"second step: {taken}"] += 1

    def _judge_result(
        self, doing: Doing, result: Result, shot: Shot | None, frozen: Frozen
    ) -> None:
        """Check that only the right thing happened to a target, if nothing interfered."""
        if shot is None:
            expects = Outcome.ALREADY_FINISHED
            unsaid = doing.action is not Action.TERMINATE and frozen.message is None
            if doing.shown is not None and not doing.shown.of_this_server:
                unsaid, expects = True, Outcome.SERVER_CHANGED
            if not unsaid or result.outcome is not expects:
                self.wrong(f"{doing.name}: {result}, and no statement was sent")
            return
        expected = set(shot.becomes)
        if shot.right is None:
            expected |= set(HIT)
        elif shot.victim is not None and shot.victim.usename in self.superusers:
            expected.add(Outcome.NOT_PERMITTED)
        elif shot.right and any(victim.stopped or victim.is_deaf for victim in self.victims):
            expected.add(Outcome.STILL_RUNNING)  # the bot's clock is hurried
        if shot.moving and shot.action is Action.CANCEL:
            expected.add(Outcome.ALREADY_FINISHED)  # it waited for one that was signalled before
        if result.outcome not in expected:
            self.wrong(f"{doing.name}: {result}, and should be {shot.becomes}: {frozen.victim}")

    async def _judge_recovered(self, doing: Doing, conclusion: Conclusion) -> None:
        """Check what is said about a dead process's kill."""
        shown = self._shown(conclusion.proposal.id)
        if shown is None or shown.claimed_by is None:
            self.wrong(f"kill {conclusion.proposal.id} is recovered, and nobody has claimed it")
            return
        if shown.id not in doing.taken:
            # One that it could not write before: now it says what the ledger has.
            said = shown.said if not shown.amended else conclusion.results
            if conclusion.recorded and conclusion.results != said:
                self.wrong(f"kill {shown.id} says {conclusion.results}, and has {said}")
            self._tally["written late"] += 1
            return
        if {result.id for result in conclusion.results} != set(shown.targets):
            self.wrong(f"kill {shown.id} says nothing of some of its targets")
        for result in conclusion.results:
            if result.outcome is not Outcome.INTERRUPTED:
                self.wrong(f"kill {shown.id} was left behind, and is said to be {result}")
            victim = shown.targets[result.id].victim
            there = victim is not None and bool(await self.there([victim]))
            words = "still there" if there else "gone"
            self._tally[f"left behind: {words}"] += 1
            if (
                doing.calm
                and shown.of_this_server
                and not result.detail.endswith(f"the session is {words}")
            ):
                self.wrong(f"kill {shown.id} says {result} of {victim}")

    async def look_around(self) -> None:
        """Let everything come to rest, and check who is gone and whether they should be."""
        signalled = [
            shot
            for victim in self.victims
            for shot in self._shots[victim]
            if victim.there and not victim.stopped and shot.verdict is Verdict.SIGNALLED
        ]
        ended = [s.victim for s in signalled if s.ends_it]
        await self.until_gone([victim for victim in ended if victim is not None])
        for shot in signalled:
            if shot.ends_it or shot.message is None or shot.message.deaf is not None:
                continue
            await asyncio.wait({shot.message.done}, timeout=PATIENCE)
        await settled([victim for victim in self.victims if victim.there], self._eyes)
        there = await self.there(self.victims)
        for victim in self.victims:
            if victim.there and victim not in there:
                victim.gone = True
                self._explain(victim, None)
            while victim.cancelled:
                self._explain(victim, victim.cancelled.pop())
        self._still = True
        for doing in self.works:
            await self.judge(doing)
        self.raise_wrongs()

    def _explain(self, victim: Victim, message: Message | None) -> None:
        """Nothing dies, and no query ends, without an authorized confirmation."""
        ended = message is None
        for shot in self._shots[victim]:
            if shot.ends_it is ended and shot.explains and message in (None, shot.message):
                return
        what = "it ended" if ended else "its query was cancelled"
        self.wrong(f"{victim}: {what}, and nobody confirmed it")

    async def read_the_record(self) -> None:
        """Check that the ledger has everything, as it was said, and that everything has ended."""
        for shown in self.previews:
            row = await self._record.kill(shown.id)
            state = "dismissed" if shown.dismissed else "proposed"
            if shown.claimed_by is not None:
                state = "done"
            if row["state"] != state:
                self.wrong(f"kill {shown.id} ends as {row['state']}, not {state}")
            if (row["claimed_at"] is not None) != (row["concluded_at"] is not None):
                self.wrong(f"kill {shown.id} was claimed, and has no outcome")
            rows = await self._record.rows(
                "select * from outcomes where kill_id = $1 order by position", shown.id
            )
            recorded = tuple(_result(row) for row in rows)
            if recorded != (shown.said or ()):
                self.wrong(f"kill {shown.id} said {shown.said} and has {recorded}")
            if shown.claimed_by is not None and {r.id for r in recorded} != set(shown.targets):
                self.wrong(f"kill {shown.id} has not an outcome for each of its targets")
        for kill_id in self._kept - {shown.id for shown in self.previews}:
            if (await self._record.kill(kill_id))["state"] != "proposed":
                self.wrong(f"kill {kill_id}, which nobody saw, did not stay what it was")
        refusals = len(await self._record.rows("select id from refusals")) - self._refusals
        if not self._denied <= refusals <= self._tried:
            self.wrong(f"{refusals} refusals are on record, not {self._denied}")


def _result(row: dict[str, Any]) -> Result:
    backend_id = BackendId(row["pid"], from_us(row["backend_start"]))
    reason = None if row["reason"] is None else Reason(row["reason"])
    first_step = None if row["first_step"] is None else Outcome(row["first_step"])
    return Result(backend_id, Outcome(row["outcome"]), row["detail"], reason, first_step)


def _costs_no_more(victim: Victim, frozen: Frozen, *, still: bool) -> Maybe:
    """Whether ending it undoes no more than was shown."""
    cost = victim.cost(still=still)
    if cost is None or frozen.cost is None:
        return None
    return cost <= frozen.cost


class JudgedCluster:
    """The real cluster, watched by the judge."""

    def __init__(self, judge: Judge, cluster: PostgresCluster) -> None:
        self._judge = judge
        self._cluster = cluster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def names(self, **how: Urgency) -> Names:
        began = time.time()
        names = await self._cluster.names(**how)
        cast("Doing", WORK.get()).names_read = (began, time.time())
        return names

    async def look(self, *args: Any, **kwargs: Any) -> Look:
        doing = cast("Doing", WORK.get())
        await self._judge.about_to_look(doing)
        look = await self._cluster.look(*args, **kwargs)
        self._judge.looked(doing, look)
        return look

    async def signal(self, guard: Guard) -> Reply:
        return await self._judge.signal(self._cluster, guard)


class JudgedLedger:
    """The real ledger, watched by the judge."""

    def __init__(
        self,
        judge: Judge,
        ledger: SqlLedger,
        owner: str,
        time: Time,
        keep_up: Callable[[int, Draft], Awaitable[None]],
    ) -> None:
        self._keep_up = keep_up
        self._judge = judge
        self._ledger = ledger
        self._owner = owner
        self._time = time

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def propose(self, draft: Draft, ttl: timedelta) -> Proposal:
        began = self._time.now()
        proposal = await self._ledger.propose(draft, ttl)
        cast("Doing", WORK.get()).kept = (began, self._time.now())
        self._judge.kept(proposal.id)
        await self._keep_up(proposal.id, draft)
        return proposal

    async def claim(self, key: str, *args: Any, **kwargs: Any) -> Proposal | None:
        began = self._time.now()
        claimed = await self._ledger.claim(key, *args, **kwargs)
        if claimed is not None:
            self._judge.claimed(claimed.id, self._owner, began)
        return claimed

    async def renew(self, proposal_id: int, owner: str, lease: timedelta) -> bool:
        began = self._time.now()
        renewed = await self._ledger.renew(proposal_id, owner, lease)
        if renewed:
            self._judge.renewed(proposal_id, owner, began)
        return renewed

    async def lapsed(self, owner: str, *args: Any, **kwargs: Any) -> tuple[Proposal, ...]:
        began = self._time.now()
        lapsed = await self._ledger.lapsed(owner, *args, **kwargs)
        for proposal in lapsed:
            self._judge.taken_over(proposal.id, owner, began)
        return lapsed

    async def conclude(self, conclusion: Conclusion, owner: str) -> bool:
        await self._judge.about_to_record(conclusion)
        concluded = await self._ledger.conclude(conclusion, owner)
        if concluded:
            self._judge.recorded(conclusion, owner)
        return concluded

    async def dismiss(self, key: str, actor: Actor) -> bool:
        began = self._time.now()
        dismissed = await self._ledger.dismiss(key, actor)
        if dismissed:
            self._judge.dismissed(self._judge.number(key), actor, began)
        return dismissed

    async def amend(
        self, proposal_id: int, amendments: Iterable[Result], notes: Iterable[str]
    ) -> bool:
        amendments = tuple(amendments)
        recorded = await self._ledger.amend(proposal_id, amendments, notes)
        if recorded:
            await self._judge.amended(proposal_id, amendments)
        return recorded
