"""What may happen only once happens once: claims, leases, second looks, expiry."""

import asyncio
import json
import os
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from bot.domain.instants import to_us
from bot.domain.kills import (
    SECOND_LOOK_AFTER,
    SECOND_LOOK_LEASE,
    Action,
    Outcome,
    Result,
    State,
)
from bot.domain.sessions import BackendId
from bot.errors import LedgerError
from bot.ledger import schema
from bot.ledger.sql import Made, SqlLedger
from bot.ledger.store import CLOCK_TOLERANCE
from tests.integration.ledger.building import (
    ANA,
    BEN,
    LONG,
    MAIN,
    OVER,
    THEN,
    Opened,
    claimed,
    conclusion,
    done,
    draft,
    rows,
)
from tests.processes import TIED

pytestmark = pytest.mark.sql

ROOT = Path(__file__).parents[3]


class TestClaims:
    """Rule 4: a preview is claimed exactly once."""

    async def test_claim_of_what_was_seen_is_what_the_ledger_has(self, ledger: SqlLedger):
        seen = await ledger.propose(draft(), LONG)
        assert await ledger.posted(seen.id, "1.1")
        claim = await ledger.claim(
            seen.key, BEN, "one", LONG, action=Action.CANCEL, message_ts="2.2", seen=seen
        )
        entry = await ledger.get(seen.key)
        assert entry is not None
        assert claim == entry.proposal

    async def test_claim_without_a_message_is_what_the_ledger_has(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert claim == entry.proposal

    async def test_a_second_click_claims_nothing(self, ledger: SqlLedger, replica: SqlLedger):
        claim = await claimed(ledger, "one")
        assert claim.state is State.CLAIMED
        assert claim.confirmed_by == BEN
        for again in (ledger, replica):
            assert await again.claim(claim.key, ANA, "one", LONG) is None
            assert await again.claim(claim.key, ANA, "two", LONG) is None
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.proposal == claim

    @pytest.mark.parametrize("confirmed", Action)
    async def test_what_was_confirmed_is_what_is_done(self, ledger: SqlLedger, confirmed: Action):
        """A preview may offer to cancel besides what it proposes."""
        for proposed in Action:
            proposal = await ledger.propose(draft(action=proposed), LONG)
            claim = await ledger.claim(proposal.key, BEN, "one", OVER, action=confirmed)
            assert claim is not None
            assert claim.action is confirmed
        taken = await ledger.lapsed("two", LONG, working=())
        assert [each.action for each in taken] == [confirmed] * len(Action)

    @pytest.mark.smoke
    async def test_one_of_many_concurrent_clicks_wins(self, ledger: SqlLedger, replica: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        clicks = [
            each.claim(proposal.key, ANA, f"{number}", LONG)
            for number in range(10)
            for each in (ledger, replica)
        ]
        assert len([claim for claim in await asyncio.gather(*clicks) if claim]) == 1

    async def test_two_processes_share_a_hundred_claims(self, ledger: SqlLedger, url: str):
        racers = [await start(RACER, url, owner) for owner in ("one", "two")]
        for racer in racers:
            assert await ask(racer) == "ready"
        wins = []
        for _ in range(100):
            proposal = await ledger.propose(draft(), LONG)
            wins.append(await asyncio.gather(*(ask(racer, proposal.key) for racer in racers)))
        for racer in racers:
            await racer.communicate(b"")
        assert {tuple(sorted(each)) for each in wins} == {("lost", "won")}

    async def test_an_expired_preview_is_neither_claimed_nor_dismissed(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), OVER)
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        assert not await ledger.dismiss(proposal.key, ANA)
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.expired
        assert entry.proposal == proposal

    async def test_a_claim_does_not_expire(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        assert await ledger.claim(proposal.key, ANA, "one", LONG)
        async with ledger._transactions.write() as connection:
            await connection.execute(sqlalchemy.update(schema.kills).values(expires_at=THEN))
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert not entry.expired

    @pytest.mark.parametrize(("days", "zone"), [(1, "Pacific/Kiritimati"), (-1, "Etc/GMT+12")])
    async def test_expiry_and_leases_use_the_ledgers_clock_in_any_time_zone(
        self, ledger: SqlLedger, url: str, days: int, zone: str
    ):
        fresh = await ledger.propose(draft(), LONG)
        stale = await ledger.propose(draft(), OVER)
        held = await claimed(ledger, "one", LONG)
        lapsed = await claimed(ledger, "one", OVER)
        child = await start(FORGER, url, days, fresh.key, stale.key, env={"TZ": zone})
        said = json.loads((await child.communicate())[0])
        assert abs(said["its clock"] - to_us(datetime.now(UTC)) / 1e6) > 80_000
        assert said["claimed"] == [True, False]
        assert said["lapsed"] == [lapsed.id]
        assert said["backend_start"] == to_us(THEN)
        entry = await ledger.get(held.key)
        assert entry is not None
        assert await ledger.renew(held.id, "one", LONG)

    async def test_a_dismissed_preview_is_closed(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        assert await ledger.dismiss(proposal.key, BEN)
        assert not await ledger.dismiss(proposal.key, ANA)
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        entry = await ledger.get(proposal.key)
        assert entry is not None
        dismissed_at = entry.proposal.dismissed_at
        assert dismissed_at is not None
        assert dismissed_at >= proposal.created_at
        assert entry.proposal == replace(
            proposal, state=State.DISMISSED, dismissed_by=BEN, dismissed_at=dismissed_at
        )

    async def test_a_claimed_preview_is_not_dismissed(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert not await ledger.dismiss(claim.key, BEN)


class TestLeases:
    """Rule 4: only an expired lease is taken."""

    async def test_a_live_lease_is_left_alone(self, ledger: SqlLedger, replica: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await replica.lapsed("two", LONG, working=()) == ()
        assert not await replica.renew(claim.id, "two", LONG)
        assert not await replica.conclude(conclusion(claim), "two")
        assert await ledger.conclude(conclusion(claim), "one")

    @pytest.mark.smoke
    async def test_a_lapsed_lease_is_taken_once(self, ledger: SqlLedger, replica: SqlLedger):
        claims = [await claimed(ledger, "dead", OVER) for _ in range(20)]
        live = await claimed(ledger, "live")
        open_one = await ledger.propose(draft(), LONG)
        taken = await asyncio.gather(
            ledger.lapsed("one", LONG, working=()), replica.lapsed("two", LONG, working=())
        )
        assert sorted(p.id for each in taken for p in each) == [claim.id for claim in claims]
        assert live.id not in {p.id for each in taken for p in each}
        assert open_one.id not in {p.id for each in taken for p in each}
        assert await ledger.lapsed("three", LONG, working=()) == ()

    async def test_taken_claim_belongs_to_the_taker(self, ledger: SqlLedger, replica: SqlLedger):
        claim = await claimed(ledger, "dead", OVER)
        (taken,) = await replica.lapsed("two", LONG, working=())
        assert taken == claim
        assert not await ledger.renew(claim.id, "dead", LONG)
        assert not await ledger.conclude(conclusion(claim), "dead")
        assert await replica.renew(claim.id, "two", LONG)
        assert await replica.conclude(conclusion(taken, Outcome.INTERRUPTED), "two")
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert [result.outcome for result in entry.results] == [Outcome.INTERRUPTED]

    async def test_owners_own_unknown_claim_is_taken_too(self, ledger: SqlLedger):
        """Its claim was written, and the reply was lost."""
        claim = await claimed(ledger, "one", OVER)
        (taken,) = await ledger.lapsed("one", LONG, working=())
        assert taken.id == claim.id

    async def test_an_owner_does_not_lose_a_claim_to_itself(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one", OVER)
        assert await ledger.lapsed("one", LONG, working={claim.id}) == ()
        assert await ledger.conclude(conclusion(claim), "one")

    async def test_lost_claim_is_taken_although_its_owner_was_working_on_it(
        self, ledger: SqlLedger, replica: SqlLedger
    ):
        """The process that took it from the owner may have died since."""
        claim = await claimed(ledger, "one", OVER)
        assert await replica.lapsed("two", OVER, working=())
        (taken,) = await ledger.lapsed("one", LONG, working={claim.id})
        assert taken.id == claim.id

    async def test_the_oldest_is_taken_first(self, ledger: SqlLedger):
        claims = [await claimed(ledger, "dead", lease) for lease in (LONG, OVER, OVER)]
        assert await ledger.renew(claims[0].id, "dead", OVER)  # makes it the last in the table
        taken = await ledger.lapsed("one", LONG, working=())
        assert [each.id for each in taken] == [each.id for each in claims]

    async def test_a_lease_is_renewed_while_it_lasts_and_not_after(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.renew(claim.id, "one", LONG)
        assert await ledger.lapsed("two", LONG, working=()) == ()
        assert await ledger.renew(claim.id, "one", OVER)
        assert not await ledger.renew(claim.id, "one", LONG)
        assert [p.id for p in await ledger.lapsed("two", LONG, working=())] == [claim.id]

    @pytest.mark.parametrize("lease", [OVER, LONG])
    async def test_done_kill_has_no_lease(self, ledger: SqlLedger, lease: timedelta):
        claim = await claimed(ledger, "one", lease)
        assert await ledger.conclude(conclusion(claim), "one")
        assert await ledger.lapsed("two", LONG, working=()) == ()
        assert not await ledger.renew(claim.id, "one", LONG)

    async def test_a_conclusion_sent_again_changes_nothing(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim, Outcome.TERMINATED), "one")
        first = await ledger.get(claim.key)
        assert await ledger.conclude(conclusion(claim, Outcome.UNKNOWN, arrivals=5), "one")
        assert not await ledger.conclude(conclusion(claim, Outcome.UNKNOWN), "two")
        assert await ledger.get(claim.key) == first

    async def test_outcome_belongs_to_one_kill(self, ledger: SqlLedger):
        done, others = await claimed(ledger, "one"), await claimed(ledger, "two")
        assert await ledger.conclude(conclusion(done), "one")
        assert not await ledger.conclude(conclusion(others), "one")

    async def test_a_proposal_that_nobody_claimed_has_no_outcome(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        assert not await ledger.conclude(conclusion(proposal), "one")

    async def test_an_outcome_is_recorded_whole_or_not_at_all(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        stranger = Result(BackendId(1, THEN), Outcome.TERMINATED)
        mixed = conclusion(claim)
        with pytest.raises(LedgerError):
            await ledger.conclude(replace(mixed, results=(*mixed.results, stranger)), "one")
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert (entry.proposal.state, entry.results) == (State.CLAIMED, ())
        assert await ledger.conclude(mixed, "one")


class TestSecondLooks:
    """Each kill gets a second look, from any process that lives then."""

    TEN_SECONDS, A_LEASE = timedelta(seconds=11), timedelta(seconds=91)

    @pytest.mark.parametrize("ago", [TEN_SECONDS, timedelta(seconds=80)])
    async def test_second_look_is_left_to_the_concluding_process(
        self, ledger: SqlLedger, replica: SqlLedger, ago: timedelta
    ):
        await done(ledger, "one", ago)
        assert await replica.unfollowed("two", clusters=MAIN, working=()) == ()

    async def test_second_look_of_a_dead_process_is_taken_once(
        self, ledger: SqlLedger, replica: SqlLedger
    ):
        kills = [await done(ledger, "dead", self.A_LEASE) for _ in range(10)]
        taken = await asyncio.gather(
            ledger.unfollowed("one", clusters=MAIN, working=()),
            replica.unfollowed("two", clusters=MAIN, working=()),
        )
        entries = [entry for each in taken for entry in each]
        assert sorted(entry.proposal.id for entry in entries) == [kill.id for kill in kills]
        assert {entry.results[0].outcome for entry in entries} == {Outcome.STILL_RUNNING}
        assert await ledger.unfollowed("three", clusters=MAIN, working=()) == ()
        # Each belongs to the process that took it, which may release it.
        await ledger.leave("one")
        await ledger.leave("two")
        assert len(await ledger.unfollowed("three", clusters=MAIN, working=())) == len(kills)

    async def test_second_look_of_a_stopped_process_is_taken_at_once(self, ledger: SqlLedger):
        kill = await done(ledger, "one", self.TEN_SECONDS)
        other = await done(ledger, "other", self.TEN_SECONDS)
        await ledger.leave("another")
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()
        await ledger.leave("one")
        (entry,) = await ledger.unfollowed("two", clusters=MAIN, working=())
        assert entry.proposal.id == kill.id
        await ledger.leave("other")
        (entry,) = await ledger.unfollowed("three", clusters=MAIN, working=())
        assert entry.proposal.id == other.id

    async def test_second_look_is_not_taken_within_ten_seconds(self, ledger: SqlLedger):
        await done(ledger, "one", timedelta(seconds=5))
        await ledger.leave("one")
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()

    async def test_owner_takes_its_own_second_look_that_it_is_not_working_on(
        self, ledger: SqlLedger
    ):
        kill = await done(ledger, "one", self.A_LEASE)
        assert await ledger.unfollowed("one", clusters=MAIN, working={kill.id}) == ()
        assert len(await ledger.unfollowed("one", clusters=MAIN, working=())) == 1

    async def test_second_look_is_not_taken_after_an_hour(self, ledger: SqlLedger):
        await done(ledger, "dead", timedelta(minutes=61))
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()
        await done(ledger, "dead", timedelta(minutes=59))
        assert len(await ledger.unfollowed("two", clusters=MAIN, working=())) == 1

    @pytest.mark.parametrize("found", [["is back"], []])
    async def test_second_look_is_recorded_once(
        self, ledger: SqlLedger, replica: SqlLedger, found: list[str]
    ):
        kill = await done(ledger, "dead", self.A_LEASE)
        looks = await asyncio.gather(
            ledger.amend(kill.id, [], found), replica.amend(kill.id, [], found)
        )
        assert sorted(looks) == [False, True]
        entry = await ledger.get(kill.key)
        assert entry is not None
        assert entry.notes == tuple(found)
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()

    async def test_second_look_is_taken_by_a_replica_that_knows_the_cluster(
        self, ledger: SqlLedger
    ):
        await done(ledger, "dead", self.A_LEASE)
        assert await ledger.unfollowed("two", clusters=("prod",), working=()) == ()
        assert len(await ledger.unfollowed("three", clusters=("prod", "main"), working=())) == 1

    async def test_unconcluded_kill_has_no_second_look(self, ledger: SqlLedger):
        """Its second look may come before the outcome could be written, which goes first."""
        claim = await claimed(ledger, "one")
        await ledger.leave("one")
        assert not await ledger.amend(claim.id, [], ["too early"])
        assert await ledger.renew(claim.id, "one", LONG)
        assert await ledger.conclude(conclusion(claim), "one")
        assert await ledger.amend(claim.id, [], ["in time"])
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.notes == ("in time",)

    async def test_recorded_second_look_cant_be_released(self, ledger: SqlLedger):
        kill = await done(ledger, "one", self.A_LEASE)
        assert await ledger.amend(kill.id, [], [])
        await ledger.leave("one")
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()


class TestWhatIsLeft:
    """What a process asks every 5 s, before it takes anything over: usually nothing is left."""

    @staticmethod
    async def is_left(ledger: SqlLedger, owner: str = "two", **changes: Any) -> bool:
        asked = {"working": (), "clusters": MAIN, "following": (), **changes}
        return await ledger.is_left(owner, **asked)

    async def test_claim_is_left_once_its_lease_has_run_out(self, ledger: SqlLedger):
        assert not await self.is_left(ledger)
        claim = await claimed(ledger, "one")
        assert not await self.is_left(ledger)
        assert await ledger.renew(claim.id, "one", OVER)
        assert await self.is_left(ledger)
        assert await self.is_left(ledger, "one")
        assert not await self.is_left(ledger, "one", working={claim.id})
        assert await ledger.lapsed("two", LONG, working=())
        assert not await self.is_left(ledger)

    async def test_second_look_is_left_once_it_is_due(self, ledger: SqlLedger):
        await done(ledger, "dead", timedelta(0))
        assert not await self.is_left(ledger)
        kill = await done(ledger, "dead", SECOND_LOOK_AFTER + SECOND_LOOK_LEASE)
        assert await self.is_left(ledger)
        assert not await self.is_left(ledger, clusters=())
        assert not await self.is_left(ledger, following={kill.id})
        assert await ledger.unfollowed("two", clusters=MAIN, working=())
        assert not await self.is_left(ledger)

    async def test_clock_is_left_to_be_noted_while_a_preview_is_open(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        assert await self.is_left(ledger)
        TestTheClockSetBack.put(ledger, timedelta(minutes=11))
        assert await self.is_left(ledger)
        assert await ledger.lapsed("one", LONG, working=()) == ()
        assert not await self.is_left(ledger)
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.expired

    async def test_clock_set_back_is_left_to_be_noted(self, ledger: SqlLedger):
        await claimed(ledger, "one")
        TestTheClockSetBack.put(ledger, -CLOCK_TOLERANCE / 2)
        assert not await self.is_left(ledger)
        TestTheClockSetBack.put(ledger, -LONG)
        assert await self.is_left(ledger)
        assert await ledger.lapsed("one", LONG, working=()) == ()
        assert not await self.is_left(ledger)


class TestTheClockSetBack:
    """Expiry and leases use the ledger's clock, which somebody may set by hand."""

    @staticmethod
    def put(ledger: SqlLedger, ahead: timedelta) -> None:
        """Set the ledger's clock ahead of the real one by this much, or back."""
        clock = type(ledger._store).clock
        off = to_us(THEN + ahead) - to_us(THEN)
        sum_of = sqlalchemy.type_coerce(clock, sqlalchemy.BigInteger) + off
        ledger._store.clock = sqlalchemy.type_coerce(sum_of, schema.Instant)
        ledger._made = Made(ledger._store)

    async def test_a_preview_that_has_expired_stays_so(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        self.put(ledger, timedelta(minutes=11))
        assert await ledger.lapsed("one", LONG, working=()) == ()  # as every 5 s
        self.put(ledger, timedelta(minutes=1))
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.expired
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        assert not await ledger.dismiss(proposal.key, ANA)
        self.put(ledger, timedelta(minutes=-50))
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None

    async def test_recovery_notes_no_clock_while_no_preview_is_open(self, ledger: SqlLedger):
        """It comes every 5 s, and what is idle isn't written."""
        noted = await rows(ledger, schema.ledger_marks)
        self.put(ledger, LONG)
        assert await ledger.lapsed("one", LONG, working=()) == ()
        assert await rows(ledger, schema.ledger_marks) == noted

    @pytest.mark.parametrize("noticed_by", ["a click", "recovery"])
    async def test_clock_set_back_ends_open_previews_but_not_new_ones(
        self, ledger: SqlLedger, noticed_by: str
    ):
        """Nobody knows how long it was open; and nobody may be kept from killing."""
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        self.put(ledger, -LONG)
        if noticed_by == "recovery":
            await ledger.lapsed("one", LONG, working=())
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert (entry.expired, entry.proposal.state) == (True, State.PROPOSED)
        fresh = await ledger.propose(draft(), timedelta(minutes=10))
        assert await ledger.claim(fresh.key, ANA, "one", LONG)
        self.put(ledger, timedelta(0))
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None

    async def test_preview_ends_although_nobody_can_note_that_the_clock_was_set_back(
        self, postgres_url: str, opened: Opened
    ):
        """Who holds the mark may have lost its network."""
        ledger, holder = [await opened(postgres_url) for _ in range(2)]
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        self.put(ledger, -LONG)
        async with holder._transactions.write() as connection:
            await connection.execute(sqlalchemy.select(schema.ledger_marks).with_for_update())
            assert await ledger.claim(proposal.key, ANA, "one", LONG) is None

    async def test_adjusted_clock_ends_nothing(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        self.put(ledger, timedelta(seconds=-3))
        await ledger.lapsed("one", LONG, working=())
        assert await ledger.claim(proposal.key, ANA, "one", LONG)

    async def test_claim_of_a_dead_process_is_taken_when_its_lease_would_end(
        self, ledger: SqlLedger
    ):
        lease = timedelta(seconds=15)
        dead = await claimed(ledger, "dead", lease)
        self.put(ledger, -LONG)
        assert await ledger.lapsed("one", LONG, working=()) == ()
        self.put(ledger, lease + timedelta(seconds=1) - LONG)
        (taken,) = await ledger.lapsed("one", LONG, working=())
        assert taken.id == dead.id


async def start(
    program: str, *arguments: object, env: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Run a program in another Python process, from the root of the tree."""
    return await asyncio.create_subprocess_exec(
        *(*TIED, sys.executable),
        "-c",
        textwrap.dedent(program),
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | (env or {}),
    )


async def ask(process: asyncio.subprocess.Process, line: object = None) -> str:
    """Send a program one line, or nothing, and read one line from it."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line is not None:
        process.stdin.write(f"{line}\n".encode())
        await process.stdin.drain()
    return (await process.stdout.readline()).decode().strip()


RACER = """
    import asyncio, sys
    from datetime import timedelta
    from bot.domain.kills import Actor
    from bot.ledger.sql import Made, SqlLedger

    async def main(url, owner):
        ledger = SqlLedger(url)
        await ledger.open()
        print("ready", flush=True)
        for line in sys.stdin:
            claim = await ledger.claim(line.strip(), Actor("U0"), owner, timedelta(hours=1))
            print("lost" if claim is None else "won", flush=True)
        await ledger.close()

    asyncio.run(main(*sys.argv[1:]))
"""

FORGER = """
    import datetime, json, sys, time

    url, days, fresh, stale = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    real, real_time = datetime.datetime, time.time

    class Forged(real):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + datetime.timedelta(days=days)

        @classmethod
        def utcnow(cls):
            return real.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(days=days)

    datetime.datetime = Forged
    time.time = lambda: real_time() + days * 86400

    import asyncio
    from datetime import timedelta
    from bot.domain.instants import to_us
    from bot.domain.kills import Actor
    from bot.ledger.sql import Made, SqlLedger

    async def main():
        ledger = SqlLedger(url)
        await ledger.open()
        hour = timedelta(hours=1)
        claims = [await ledger.claim(each, Actor("U0"), "two", hour) for each in (fresh, stale)]
        lapsed = [proposal.id for proposal in await ledger.lapsed("two", hour, working=())]
        seen = (await ledger.get(fresh)).proposal.targets[0].id.backend_start
        await ledger.close()
        print(json.dumps({
            "its clock": time.time(),
            "claimed": [claim is not None for claim in claims],
            "lapsed": lapsed,
            "backend_start": to_us(seen),
        }))

    asyncio.run(main())
"""
