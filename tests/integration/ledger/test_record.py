"""What goes into the ledger comes back and is found, on SQLite and on PostgreSQL."""

import asyncio
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.filters import AddressIn, Before, InLock, OidIn, PidIn, TextLike
from bot.domain.kills import (
    Action,
    Actor,
    Basis,
    Conclusion,
    Draft,
    Outcome,
    Reason,
    Result,
    Spared,
    State,
    Target,
)
from bot.domain.record import ALONE, SEEN, HistoryFilter, Record, SignatureNote
from bot.domain.sessions import Backend, BackendId, Limit
from bot.errors import LedgerError
from bot.grammar.requests import Target as Where
from bot.grammar.terms import AgeOf, Pattern, Word
from bot.ledger import schema
from bot.ledger.sql import SqlLedger
from tests.integration.ledger.building import (
    ANA,
    BEN,
    LONG,
    OVER,
    THEN,
    backend,
    claimed,
    conclusion,
    done,
    draft,
    history,
    look_note,
    refusal_note,
    rows,
    target,
)

pytestmark = pytest.mark.sql


class TestTheRecord:
    """What goes in comes back."""

    EVERYTHING = draft(
        Target(
            BackendId(4_194_304, THEN),
            Backend(
                pid=4_194_304,
                datid=2**32 - 1,
                datname="some_db",
                leader_pid=1,
                usesysid=2**32 - 2,
                usename="some_user",
                application_name="<!channel>",
                client_addr=ip_address("fe80::1%eth0"),
                client_hostname="laptop",
                client_port=-1,
                backend_start=THEN,
                xact_start=THEN + timedelta(microseconds=1),
                query_start=THEN + timedelta(microseconds=2),
                state_change=THEN + timedelta(microseconds=3),
                wait_event_type="Lock",
                wait_event="transactionid",
                state="idle in transaction",
                backend_xid=2**32 - 3,
                backend_xmin=2**32 - 4,
                query_id=-(2**63),
                query="select ?",
                backend_type="client backend",
                virtualtransaction="3/7",
            ),
            waiting_behind=7,
            is_new=True,
        ),
        target(2),
        target(1, client_addr=ip_address("192.0.2.1")),
        host="db.example",
        action=Action.CANCEL,
        basis=Basis.FILTER,
        wording='user=some_user app="x y"',
        conditions=(
            OidIn("usesysid", (10, 2**32 - 1), negated=True),
            TextLike("application_name", ("", "[*%_\\?", ""), negated=True),
            AddressIn("192.0.2.0/24", negated=True),
            Before(AgeOf.XACT, THEN, older=False),
            InLock(Word.BLOCKING),
            PidIn((3, 1, 2)),
        ),
        spared=(Spared(backend(5, backend_start=None), "PROTECTED_ROLES"), Spared(backend(4), "x")),
        reason="the queue 💥 “stands”",
        before=(Limit("some_user", 1, 1), Limit("connections", 97, 97)),
        waiting=12,
        freed=11,
        reference="0badcafe",
        thread_ts="1708300799.000050",
    )

    async def test_every_field_of_a_proposal_comes_back(self, ledger: SqlLedger):
        proposal = await ledger.propose(self.EVERYTHING, LONG)
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal == proposal
        assert {f.name: getattr(proposal, f.name) for f in fields(Draft)} == {
            f.name: getattr(self.EVERYTHING, f.name) for f in fields(Draft)
        }
        assert proposal.id > 0
        assert proposal.state is State.PROPOSED
        assert proposal.expires_at - proposal.created_at == LONG
        assert not entry.expired
        assert (entry.results, entry.amendments, entry.notes) == ((), (), ())
        assert (entry.concluded_at, entry.took, entry.waiting) == (None, None, None)

    def test_the_example_leaves_no_field_of_a_backend_out(self):
        seen = self.EVERYTHING.targets[0].seen
        assert [f.name for f in fields(Backend) if getattr(seen, f.name) is None] == []

    @pytest.mark.smoke
    async def test_every_field_of_an_outcome_comes_back(self, ledger: SqlLedger):
        proposal = await ledger.propose(self.EVERYTHING, LONG)
        claim = await ledger.claim(proposal.key, BEN, "one", LONG, message_ts="1708300799.000100")
        assert claim is not None
        end = Conclusion(
            proposal=claim,
            results=(
                Result(claim.targets[2].id, Outcome.UNKNOWN, "no reply"),
                Result(claim.targets[0].id, Outcome.TERMINATED, first_step=Outcome.STILL_RUNNING),
                Result(claim.targets[1].id, Outcome.NOT_PERMITTED, "must be a superuser"),
            ),
            took=timedelta(microseconds=1_234_567),
            limits=((Limit("some_user", 1, 1), Limit("some_user", 0, 1)),),
            waiting=(12, 1),
            arrivals=3,
            began_at=THEN,
            notes=("first", "second"),
        )
        assert await ledger.conclude(end, "one")
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.results == end.results
        assert entry.took == end.took
        assert entry.limits == end.limits
        assert entry.waiting == end.waiting
        assert entry.arrivals == end.arrivals
        assert entry.began_at == end.began_at
        assert entry.notes == end.notes
        assert entry.proposal == replace(claim, state=State.DONE)
        assert entry.proposal.message_ts == "1708300799.000100"
        assert entry.proposal.confirmed_by == BEN
        assert entry.proposal.claimed_at is not None
        assert entry.concluded_at is not None
        assert proposal.created_at <= entry.proposal.claimed_at <= entry.concluded_at

    async def test_both_steps_of_a_kill_come_back_also_as_amended(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        steps = Action.CANCEL_THEN_TERMINATE
        claim = await ledger.claim(proposal.key, BEN, "one", LONG, action=steps)
        assert claim is not None
        assert claim.action is steps
        running, ended = (
            Result(claim.targets[0].id, outcome, first_step=Outcome.STILL_RUNNING)
            for outcome in (Outcome.STILL_RUNNING, Outcome.TERMINATED)
        )
        assert await ledger.conclude(conclusion(claim, results=(running,)), "one")
        assert await ledger.amend(claim.id, (ended,), ())
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.proposal.action is steps
        assert (entry.results, entry.latest) == ((running,), (ended,))

    @pytest.mark.parametrize(
        ("reason", "detail"),
        [
            (Reason.OTHER_WORK, "had begun other work since the preview"),
            (Reason.UNWATCHED, "signalled, and not watched to its end"),
            (Reason.NOT_KNOWN, "the bot stopped before it was known"),
            (Reason.GONE_SINCE, "the bot stopped while it was at work; the session is gone"),
            (Reason.GONE_SINCE, "gone now; whether by this signal is not known"),
            (None, "the session is gone; looked at again: no reply"),
        ],
    )
    async def test_reason_comes_back_also_from_a_row_that_has_only_words(
        self, ledger: SqlLedger, reason: Reason | None, detail: str
    ):
        claim = await claimed(ledger, "one")
        result = Result(claim.targets[0].id, Outcome.INTERRUPTED, detail, reason)
        assert await ledger.conclude(conclusion(claim, results=(result,)), "one")
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.results == (result,)
        without = sqlalchemy.update(schema.outcomes).values(reason=None)
        async with ledger._transactions.write() as connection:
            await connection.execute(without)
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.results == (result,)

    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)

    @given(
        name=texts, other=texts, reason=st.none() | texts, when=st.datetimes(timezones=st.just(UTC))
    )
    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    async def test_any_text_and_any_instant_comes_back(
        self, ledger: SqlLedger, name: str, other: str, reason: str | None, when: datetime
    ):
        shown = Target(
            BackendId(1, when),
            backend(1, backend_start=when, usename=name, datname=other, query=other),
        )
        proposal = await ledger.propose(
            draft(shown, reason=reason, wording=name, seen_at=when), LONG
        )
        assert (proposal.targets, proposal.reason, proposal.wording, proposal.seen_at) == (
            (shown,),
            reason,
            name,
            when,
        )

    async def test_names_made_to_be_sql_are_data(self, ledger: SqlLedger):
        name = "x'); DROP TABLE kills; -- \" $1 :a %s ?"
        proposal = await ledger.propose(
            draft(target(usename=name), cluster=name, reason=name, wording=name), LONG
        )
        assert await ledger.claim(proposal.key, Actor(name, name), name, LONG)
        found = await history(
            ledger,
            HistoryFilter(
                target=Where(cluster=name), roles=(((name,), False), (("x'", "s ?"), False))
            ),
            limit=9,
        )
        assert [e.proposal.targets[0].seen.usename for e in found] == [name]
        assert found[0].proposal.confirmed_by == Actor(name, name)

    async def test_unstorable_text_is_a_ledger_error(self, ledger: SqlLedger):
        with pytest.raises(LedgerError):
            await ledger.propose(draft(reason="\ud800"), LONG)
        with pytest.raises(LedgerError):
            await ledger.renew(10**30, "one", LONG)
        await ledger.ready()

    async def test_readers_do_not_wait_for_writers(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        async with ledger._transactions.write() as connection:
            await connection.execute(sqlalchemy.update(schema.ledger_version).values(at=THEN))
            assert await ledger.get(proposal.key) is not None

    async def test_there_is_nothing_under_an_unknown_key(self, ledger: SqlLedger):
        kept = await ledger.propose(draft(), LONG)
        for key in ("", "-", str(kept.id), kept.key[:-1], kept.key.upper(), "0" * 65):
            assert await ledger.get(key) is None
            assert await ledger.claim(key, ANA, "one", LONG) is None
            assert not await ledger.dismiss(key, ANA)

    @pytest.mark.parametrize(("known", "kept"), [("1.1", "1.1"), ("", "2.2")])
    async def test_claim_records_a_previews_message_if_it_is_missing(
        self, ledger: SqlLedger, known: str, kept: str
    ):
        proposal = await ledger.propose(draft(), LONG)
        if known:  # by an older version, right after the preview was posted
            async with ledger._transactions.write() as connection:
                await connection.execute(sqlalchemy.update(schema.kills).values(message_ts=known))
        claim = await ledger.claim(proposal.key, BEN, "one", LONG, message_ts="2.2")
        assert claim is not None
        assert claim.message_ts == kept

    async def test_claim_without_a_message_records_none(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert claim.message_ts == ""

    async def test_later_knowledge_is_added_beside_the_results(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim, Outcome.UNKNOWN), "one")
        later = [
            Result(claim.targets[0].id, Outcome.STILL_RUNNING, "waits for Lock"),
            Result(claim.targets[0].id, Outcome.TERMINATED),
        ]
        assert await ledger.amend(claim.id, later, ["is back with 2 sessions"])
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert [result.outcome for result in entry.results] == [Outcome.UNKNOWN]
        assert entry.amendments == tuple(later)
        assert entry.notes == ("is back with 2 sessions",)

    async def test_amendment_of_a_non_target_is_refused(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim), "one")
        with pytest.raises(LedgerError):
            await ledger.amend(
                claim.id, [Result(BackendId(1, THEN), Outcome.TERMINATED)], ["not kept"]
            )
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert (entry.amendments, entry.notes) == ((), ())

    async def test_a_refused_attempt_is_recorded(self, ledger: SqlLedger):
        await ledger.note([(0.0, refusal_note("/pg-kill user=some_user", reference="9b676bb2"))])
        (row,) = await rows(ledger, schema.refusals)
        assert row.pop("at").tzinfo is UTC
        assert row == {
            "id": 1,
            "user_id": ANA.user_id,
            "team_id": ANA.team_id,
            "channel_id": "C1",
            "what": "/pg-kill user=some_user",
            "why": "PG_KILL_ALLOWLIST",
            "reference": "9b676bb2",
        }

    async def test_notes_keep_their_time_and_order(self, ledger: SqlLedger):
        """They may have waited for the ledger, and one may have been written before another."""
        assert await ledger.first_time("v0=one")
        before = datetime.now(UTC)
        await ledger.note(
            [
                (3600.0, refusal_note("first")),
                (1800.0, look_note("between")),
                (0.0, refusal_note("last")),
                (0.0, SignatureNote("v0=one")),
                (0.0, SignatureNote("v0=two")),
            ]
        )
        last, first = await ledger.noted(Record.REFUSALS, since=None, limit=9)
        assert (first.what, last.what) == ("first", "last")
        (between,) = await ledger.noted(Record.LOOKS, since=None, limit=9)
        ages = [(before - one.at) / timedelta(minutes=1) for one in (first, between, last)]
        assert [round(age) for age in ages] == [60, 30, 0]
        assert not await ledger.first_time("v0=two")

    async def test_refusals_and_looks_are_read_newest_first_page_by_page(self, ledger: SqlLedger):
        for number in range(3):
            await ledger.note([(0.0, refusal_note(f"/pg-kill {number}", reference=f"ref{number}"))])
        await ledger.note([(0.0, look_note("pid 7, with its full query", reference="fb06c0da"))])

        async def refused(**where: Any) -> list[str]:
            found = await ledger.noted(Record.REFUSALS, **{"since": None, "limit": 10, **where})
            return [one.what for one in found]

        assert await refused() == ["/pg-kill 2", "/pg-kill 1", "/pg-kill 0"]
        assert await refused(limit=1, before_id=3) == ["/pg-kill 1"]
        (last,) = await ledger.noted(Record.REFUSALS, since=None, limit=1)
        assert last.reference == "ref2"
        assert await refused(since=datetime.now(UTC) + timedelta(days=1)) == []
        (seen,) = await ledger.noted(Record.LOOKS, since=THEN, limit=10)
        assert (seen.actor, seen.channel_id, seen.cluster) == (ANA, "C1", "main")
        assert (seen.what, seen.why) == ("pid 7, with its full query", None)
        assert seen.reference == "fb06c0da"

    async def test_the_last_look_is_the_channels_own_and_the_last_recorded(self, ledger: SqlLedger):
        assert await ledger.last_look("C1", "main") is None
        seen = [
            look_note(SEEN, cluster_at=THEN + LONG),
            look_note(SEEN, cluster_at=THEN),  # its clock went back after a failover
            look_note(ALONE, cluster_at=THEN + LONG),
            look_note(SEEN, cluster_at=THEN + LONG, channel_id="C2"),
            look_note(SEEN, cluster_at=THEN + LONG, cluster="prod"),
        ]
        await ledger.note([(0.0, one) for one in seen])
        assert await ledger.last_look("C1", "main") == THEN
        assert len(await rows(ledger, schema.looks)) == 5


class TestHistory:
    """The last kills, in whatever state they are."""

    async def test_history_is_newest_first_in_every_state_and_paged(self, ledger: SqlLedger):
        done = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(done), "one")
        await claimed(ledger, "one")
        await ledger.propose(draft(), OVER)
        dismissed = await ledger.propose(draft(), LONG)
        assert await ledger.dismiss(dismissed.key, BEN)
        await ledger.propose(draft(), LONG)
        first = await history(ledger, HistoryFilter(), limit=3)
        second = await history(ledger, HistoryFilter(), limit=3, before_id=first[-1].proposal.id)
        assert [(e.proposal.state, e.expired) for e in (*first, *second)] == [
            (State.PROPOSED, False),
            (State.DISMISSED, False),
            (State.PROPOSED, True),
            (State.CLAIMED, False),
            (State.DONE, False),
        ]
        assert second[-1] == await ledger.get(done.key)
        assert len(second[-1].results) == 1

    async def test_open_previews_are_told_from_all_others_with_their_messages(
        self, ledger: SqlLedger
    ):
        await done(ledger, "me", timedelta(0))
        await claimed(ledger, "me")
        dismissed = await ledger.propose(draft(), LONG)
        await ledger.dismiss(dismissed.key, ANA)
        await ledger.propose(draft(), timedelta(0))
        elsewhere = await ledger.propose(draft(cluster="prod"), LONG)
        here = await ledger.propose(draft(), LONG)
        assert await ledger.posted(here.id, "171.000200")
        assert not await ledger.posted(here.id, "171.000300")
        assert not await ledger.posted(dismissed.id, "171.000300")

        found = await history(ledger, HistoryFilter(open_only=True), limit=9)
        assert [entry.proposal.id for entry in found] == [here.id, elsewhere.id]
        assert [entry.proposal.message_ts for entry in found] == ["171.000200", ""]
        mine = HistoryFilter(open_only=True, clusters=frozenset({"main"}))
        assert [entry.proposal.id for entry in await history(ledger, mine, limit=9)] == [here.id]

        claim = await ledger.claim(here.key, BEN, "me", LONG, message_ts="171.000400")
        assert claim is not None
        assert claim.message_ts == "171.000200"

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("where", "found"),
        [
            (HistoryFilter(), "dcba"),
            (HistoryFilter(target=Where(cluster="prod")), "d"),
            (HistoryFilter(target=Where(database="shop")), "ca"),
            (HistoryFilter(target=Where(cluster="main", database="shop")), "ca"),
            (HistoryFilter(roles=((("web",), False),)), "ba"),
            (HistoryFilter(roles=((("web",), True),)), "cb"),
            (HistoryFilter(roles=((("w", ""), False), (("", "2"), True))), "ba"),
            # Both conditions must match one session: b has a web and a session in logs, not a web
            # in logs.
            (HistoryFilter(roles=((("web",), False),), databases=((("logs",), False),)), ""),
            (HistoryFilter(databases=((("", ""), False),)), "cba"),
            (HistoryFilter(databases=((("shop",), True),)), "b"),
            (HistoryFilter(since=THEN), "dcba"),
            (HistoryFilter(since=datetime.max.replace(tzinfo=UTC)), ""),
        ],
    )
    async def test_all_conditions_must_match_one_session(
        self, ledger: SqlLedger, where: HistoryFilter, found: str
    ):
        for reason, cluster, sessions in (
            ("a", "main", [("web", "shop")]),
            ("b", "main", [("web", "crm"), ("batch", "logs")]),
            ("c", "main", [("web2", "shop")]),
            ("d", "prod", [(None, None)]),
        ):
            shown = [
                target(pid, usename=usename, datname=datname)
                for pid, (usename, datname) in enumerate(sessions)
            ]
            await ledger.propose(draft(*shown, cluster=cluster, reason=reason), LONG)
        entries = await history(ledger, where, limit=9)
        assert "".join(e.proposal.reason or "" for e in entries) == found

    async def test_limit_counts_only_matches(self, ledger: SqlLedger):
        for number in range(6):
            await ledger.propose(draft(target(usename=f"u{number % 2}")), LONG)
        entries = await history(ledger, HistoryFilter(roles=((("u0",), False),)), limit=2)
        assert [e.proposal.id for e in entries] == [5, 3]

    async def test_glob_means_the_same_in_the_ledger(self, ledger: SqlLedger):
        names = ["", "web", "Web", "web*", "we[b]", "w%b", "w_b", "w\\b", "w?b", "web web", "w^b"]
        globs = [
            *((name,) for name in names),
            *((name, "") for name in names),
            *(("", name, "") for name in names),
            ("w", "b"),
            ("w", "b", ""),
            ("", "", ""),
            ("[a-z", ""),
            ("w]", ""),
        ]
        shown = [target(pid, usename=name) for pid, name in enumerate(names)]
        for one in shown:
            await ledger.propose(draft(one, reason=one.seen.usename), LONG)
        for parts in globs:
            for negated in (False, True):
                entries = await history(
                    ledger, HistoryFilter(roles=((parts, negated),)), limit=len(names)
                )
                assert [e.proposal.reason for e in entries] == [
                    name for name in reversed(names) if Pattern(parts).matches(name) != negated
                ], (parts, negated)


async def test_a_request_is_new_once_for_all_replicas(ledger: SqlLedger) -> None:
    assert await ledger.first_time("v0=one")
    assert not await ledger.first_time("v0=one")
    assert await ledger.first_time("v0=two")
    answers = await asyncio.gather(*(ledger.first_time("v0=three") for _ in range(5)))
    assert sorted(answers) == [False, False, False, False, True]


async def test_signature_is_remembered_while_it_is_valid(
    ledger: SqlLedger,
) -> None:
    """300 s before and after its timestamp: a future one is valid for ten minutes."""
    for signature, minutes in (("v0=old", 11), ("v0=young", 9)):
        assert await ledger.first_time(signature)
        async with ledger._transactions.write() as connection:
            await connection.execute(
                sqlalchemy.update(schema.signatures)
                .where(schema.signatures.c.signature == signature)
                .values(at=ledger._store.after(-timedelta(minutes=minutes)))
            )
    assert not await ledger.first_time("v0=young")
    kept = {row["signature"] for row in await rows(ledger, schema.signatures)}
    assert kept == {"v0=young"}
