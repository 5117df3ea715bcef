"""Samples: what is kept of them, and in how much memory."""

import gc
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.blocking import Locks, LockWait
from bot.domain.findings.diagnosis import diagnose
from bot.domain.findings.model import Question
from bot.domain.findings.survey import Survey
from bot.domain.groups import Group, Groups
from bot.domain.samples import (
    APART,
    KEPT_FOR,
    MOST_BYTES,
    WORST,
    Ring,
    Sample,
    Seen,
)
from bot.domain.sessions import Counts, Names, Role
from bot.domain.waits import Request, queued
from tests.unit.builders import NOW, ago, backend, look

SESSIONS = 1000
ROWS = 100
SAMPLES = 180
"""Of 15 minutes, one each five seconds."""


def crowded(number: int = 0, name: Callable[[int], str] = "worker-{}".format) -> Seen:
    """A server on which nine of ten sessions wait for one; nothing in it is as it was before."""
    first = 1000 + number
    waiters = range(first + 1, first + SESSIONS * 9 // 10)
    since = {pid: ago(seconds=pid % 97) for pid in waiters}
    rows = tuple(
        backend(
            pid,
            usename=f"user{pid % 20}",
            application_name=f"worker-{pid * 7919 % 100_003}",
            query=f"select * from t{pid * 7919 % 100_003} where id = ? and shop = ? for update",
            backend_start=ago(seconds=pid * 31 % 100_003),
            query_start=ago(milliseconds=pid * 7919 % 100_003),
        )
        for pid in range(first, first + ROWS)
    )
    waits = queued(
        [Request(1, 0, first, 8), *(Request(1, at, pid, 8) for at, pid in enumerate(waiters, 1))],
        {pid: since[pid] for pid in waiters if pid < first + ROWS},
    )
    seen = look(*rows, waits=waits)
    seen = replace(
        seen,
        counts=Counts(SESSIONS, {"active": SESSIONS}, len(waiters), ago(minutes=9)),
    )
    survey = Survey(
        look=seen,
        locks=Locks(
            {
                pid: LockWait("transactionid", "ShareLock", since[pid], None, str(pid))
                for pid in waiters
            }
        ),
    )
    crowd = Groups(
        tuple(
            Group(
                (
                    *("web", "some_db", name(n * 7919 % 100_003), f"10.0.{n % 7}.{n % 251}"),
                    *("active", "client backend", "transactionid"),
                ),
                1,
                ago(milliseconds=n * 7919 % 100_003 + number),
            )
            for n in range(SESSIONS)
        ),
        SESSIONS,
        SESSIONS,
    )
    return Seen(survey, diagnose(survey, Question()).findings, crowd)


def test_packing_loses_nothing():
    seen = crowded()
    sample = Sample.of(seen)
    packed = sample.packed()
    assert packed.size
    assert packed == sample
    assert packed.seen == seen
    assert packed.seen is not seen
    assert packed.diagnosis == sample.diagnosis
    assert packed.packed() == packed
    assert packed.names is sample.names is seen.survey.look.names


def test_names_are_not_packed_with_each_sample():
    seen = crowded()
    roles = {1: Role(1, "someone_named_nowhere_else", False, -1)}
    named = replace(seen.survey.look, names=replace(seen.survey.look.names, roles=roles))
    sample = Sample.of(Seen(replace(seen.survey, look=named), seen.findings, seen.crowd))
    assert b"someone_named_nowhere_else" not in zlib.decompress(sample.packed()._packed)


def test_sample_without_an_answer_knows_nothing_else():
    sample = Sample(cluster="main", taken_at=NOW, problem="no answer")
    assert (sample.used, sample.usable, sample.total, sample.waiting) == (0, 0, 0, 0)
    assert sample.oldest_xact_age is None
    assert sample.by_state == {}
    assert (sample.seen, sample.diagnosis) == (None, None)
    assert sample.packed() is sample
    assert sample.size == 0
    assert (sample.names.roles, sample.names.databases) == ({}, {})


def test_sample_compares_and_prints_only_its_figures():
    sample = Sample.of(crowded())
    assert replace(sample.packed(), _packed=b"", _names=None) == sample
    assert not any(name in repr(sample.packed()) for name in ("_seen", "_packed", "_names"))


def test_seen_is_diagnosed_as_a_whole():
    seen = crowded()
    assert seen.diagnosis.question == Question()
    assert seen.diagnosis.survey is seen.survey


def test_a_past_look_has_the_worst_twenty_and_the_counts_of_all():
    look = crowded().look
    assert [row.pid for row in look.rows] == list(range(1000, 1000 + WORST))
    assert look.counts.total == SESSIONS


def test_figures_are_those_of_the_look():
    sample = Sample.of(crowded())
    assert (sample.cluster, sample.used, sample.usable) == ("main", 62, 97)
    assert (sample.total, sample.waiting, sample.problem) == (SESSIONS, 899, None)
    assert sample.by_state == {"active": SESSIONS}
    assert sample.oldest_xact_age == timedelta(minutes=9)
    assert sample.taken_at == NOW
    assert sample.diagnosis is not None
    assert [finding.rule.value for finding in sample.diagnosis.findings] == ["blocker", "limit"]
    seen = crowded()
    idle = replace(seen.survey.look, counts=Counts(1, {"idle": 1}, 0, None))
    quiet = Sample.of(Seen(replace(seen.survey, look=idle), seen.findings, seen.crowd))
    assert quiet.oldest_xact_age is None


def test_quarter_of_an_hour_of_samples_takes_less_than_ten_megabytes():
    Sample.of(crowded()).packed()  # what is loaded once

    def taken(samples: Callable[[], list[Sample]]) -> int:
        tracemalloc.start()
        try:
            kept = samples()
            gc.collect()
            return tracemalloc.get_traced_memory()[0] // len(kept)
        finally:
            tracemalloc.stop()

    older = taken(lambda: [Sample.of(crowded(number)).packed() for number in range(3)])
    newest = taken(lambda: [Sample.of(crowded())])
    assert (SAMPLES - 1) * older + newest < 10_000_000
    assert newest * SAMPLES > 10_000_000  # so packing is needed


NAMES = look().names
ROLES = [{oid: Role(oid, "web", False, -1) for oid in range(10_000)} for _ in range(2)]


def sized(size: int, names: Names) -> Sample:
    """A sample that takes so many bytes once it is packed."""
    return Sample(cluster="main", taken_at=NOW, _packed=bytes(size), _names=names)


@given(
    st.lists(
        st.tuples(
            st.floats(0.5, 120),
            st.one_of(st.integers(0, 200_000), st.integers(0, 12_000_000)),
            st.booleans(),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_ring_of_samples_of_any_size_is_bounded_and_keeps_the_latest(taken) -> None:
    ring, at, added = Ring(), 0.0, []
    for later, size, flag in taken:
        at += later
        names = replace(NAMES, roles=ROLES[flag])
        added.append((at, sample := sized(size, names)))
        ring.add(at, sample)
        kept = [*ring]
        assert ring.newest is kept[-1].sample is sample
        assert ring.size <= MOST_BYTES
        older = [each.sample for each in kept[:-1]]
        changes = [one for one, two in pairwise(older) if one.names.roles is not two.names.roles]
        assert ring.size >= sum(each.size for each in older) + 1_000_000 * len(changes)
        assert at - kept[0].at <= KEPT_FOR.total_seconds()
        assert {each.at for each in kept} <= {when for when, _ in added}
        assert all(after.at - each.at >= APART for each, after in pairwise(kept[:-1]))
        lost = [when for when, _ in added if when < kept[0].at]
        if lost and at - lost[-1] <= KEPT_FOR.total_seconds():
            assert ring.is_cut(at)


def test_ring_stays_within_its_memory_whatever_sessions_call_themselves():
    chance = Random(7)

    def any_name(_: int) -> str:
        return "".join(chr(chance.randrange(0x100, 0x800)) for _ in range(31))

    seen, one = crowded(name=any_name), Sample.of(crowded(name=any_name)).packed()
    assert one.size * SAMPLES > 10_000_000  # or this would prove nothing
    tracemalloc.start()
    try:
        ring = Ring()
        for number in range(SAMPLES - 1):
            another = bytes(bytearray(one._packed))
            ring.add(5.0 * number, replace(one, _packed=another, by_state=dict(one.by_state)))
        ring.add(5.0 * SAMPLES, Sample.of(replace(seen, crowd=crowded(name=any_name).crowd)))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 10_000_000
    finally:
        tracemalloc.stop()
    assert ring.is_cut(5.0 * SAMPLES)
    assert len([*ring]) > SAMPLES / 2
