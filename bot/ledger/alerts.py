"""Alerts on record.

An alert is on record before it is posted. Whoever speaks may be another process a moment later, so
each change is one UPDATE that names the revision it starts from, and that only the speaker may
make. What Slack has taken, and when a finding was last seen, is recorded by anyone: it has
happened.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Row, and_, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from bot.domain.alerts import Alert, AlertState, KillSeen, News, Opening
from bot.domain.findings.model import Rule
from bot.domain.kills import LIVING, SUCCEEDED, Actor
from bot.domain.tracks import Topic, decoded, encoded
from bot.errors import LedgerError
from bot.ledger.leases import held
from bot.ledger.schema import alerts, kills, ledger_identity, microseconds, outcomes, targets
from bot.ledger.store import Transactions

log = structlog.get_logger(__name__)

MORE = "more"
"""Stands for a finding in the line that says how many more there are."""


class SqlAlerts:
    """`bot.ports.Alerts`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._unreadable: set[int] = set()  # the alerts of which the log says so

    async def open(self, opening: Opening, speaker: tuple[str, str]) -> Alert | None:
        topic, now = opening.topic, opening.at
        values = {
            "cluster": topic.cluster,
            "finding": topic.rule or MORE,
            "subject": encoded(topic.subject),
            "channel_id": opening.channel_id,
            "state": AlertState.TELLING,
            "since": opening.since,
            "opened_at": now,
            "told_at": now,
            "told_hurt": opening.hurt,
            "worst": opening.hurt,
            "seen_at": now,
            "relapses": 0,
            "replies": 0,
            "revision": 0,
            "drawn": -1,
        }
        key = select(ledger_identity.c.identity + f"-{secrets.token_hex(16)}").scalar_subquery()
        typed = [literal(value, alerts.c[name].type).label(name) for name, value in values.items()]
        intent = insert(alerts).from_select(
            ["key", *values],
            select(key.label("key"), *typed).where(held(self._transactions.store, *speaker)),
        )
        is_it = (
            alerts.c.cluster == values["cluster"],
            alerts.c.finding == values["finding"],
            alerts.c.subject == values["subject"],
            alerts.c.over_at.is_(None),
        )
        try:
            async with self._transactions.write() as connection:
                if (await connection.execute(intent)).rowcount != 1:
                    return None
                return _alert((await connection.execute(select(alerts).where(*is_it))).one())
        except LedgerError as error:
            if isinstance(error.__cause__, IntegrityError):
                return None
            raise

    async def change(self, alert: Alert, speaker: tuple[str, str]) -> Alert | None:
        kill, by = alert.ended_by or (None, None)
        change = (
            update(alerts)
            .where(
                alerts.c.id == alert.id,
                alerts.c.revision == alert.revision,
                held(self._transactions.store, *speaker),
            )
            .values(
                state=alert.state,
                told_at=alert.told_at,
                told_hurt=alert.told_hurt,
                worst=alert.worst,
                seen_at=alert.seen_at,
                relapses=alert.relapses,
                over_at=alert.over_at,
                ended_by_kill=kill,
                ended_by=None if by is None else by.user_id,
                ended_by_team=None if by is None else by.team_id,
                news=alert.news,
                replies=alert.replies,
                revision=alert.revision + 1,
            )
        )
        try:
            return await self._changed(change, alerts.c.id == alert.id)
        except LedgerError as error:
            if isinstance(error.__cause__, IntegrityError):  # a newer one is open
                return None
            raise

    async def posted(self, alert: Alert, message_ts: str) -> None:
        there = (alerts.c.id == alert.id, alerts.c.message_ts.is_(None))
        is_telling = alerts.c.state == AlertState.TELLING
        async with self._transactions.write() as connection:
            shown = {
                "message_ts": message_ts,
                "drawn": alert.revision,
                "told_at": alert.told_at,
                "told_hurt": alert.told_hurt,
                "worst": alert.worst,
            }
            await connection.execute(update(alerts).where(*there).values(shown))
            opened = update(alerts).where(alerts.c.id == alert.id, is_telling)
            await connection.execute(opened.values(state=AlertState.OPEN))

    async def replied(self, alert: Alert) -> None:
        await self._write(
            update(alerts)
            .where(alerts.c.id == alert.id, alerts.c.replies == alert.replies)
            .values(news=None)
        )

    async def drawn(self, alert: Alert) -> None:
        await self._write(
            update(alerts)
            .where(alerts.c.id == alert.id, alerts.c.drawn < alert.revision)
            .values(drawn=alert.revision)
        )

    async def seen(self, alert: Alert, at: datetime) -> None:
        await self._write(
            update(alerts)
            .where(alerts.c.id == alert.id, alerts.c.over_at.is_(None), alerts.c.seen_at < at)
            .values(seen_at=at)
        )

    async def mute(self, key: str, until: datetime, by: Actor) -> Alert | None:
        muted = (
            update(alerts)
            .where(alerts.c.key == key, alerts.c.over_at.is_(None))
            .values(
                muted_until=until,
                muted_by=by.user_id,
                muted_by_team=by.team_id,
                revision=alerts.c.revision + 1,
            )
        )
        return await self._changed(muted, alerts.c.key == key)

    async def get(self, key: str) -> Alert | None:
        return next(iter(await self._found(alerts.c.key == key)), None)

    async def current(self, since: datetime, undrawn_since: datetime) -> tuple[Alert, ...]:
        undrawn = and_(
            alerts.c.message_ts.is_not(None),
            or_(alerts.c.drawn < alerts.c.revision, alerts.c.news.is_not(None)),
        )
        return await self._found(
            or_(
                alerts.c.over_at.is_(None),
                alerts.c.over_at >= since,
                and_(alerts.c.over_at >= undrawn_since, undrawn),
            )
        )

    async def kills(self, cluster: str, within: timedelta) -> tuple[KillSeen, ...]:
        since = self._transactions.store.before(literal(microseconds(within)))
        of_them = (
            select(
                kills.c.id,
                kills.c.confirmed_by,
                kills.c.confirmed_by_team,
                targets.c.pid,
                outcomes.c.outcome,
            )
            .join(targets, targets.c.kill_id == kills.c.id)
            .outerjoin(
                outcomes,
                and_(
                    outcomes.c.kill_id == kills.c.id,
                    outcomes.c.pid == targets.c.pid,
                    outcomes.c.backend_start == targets.c.backend_start,
                ),
            )
            .where(kills.c.cluster == cluster, kills.c.claimed_at >= since)
            .order_by(kills.c.id.desc())
        )
        async with self._transactions.read() as connection:
            found = (await connection.execute(of_them)).all()
        return tuple(_kill([*rows]) for _, rows in groupby(found, key=lambda row: row.id))

    async def _found(self, *conditions: ColumnElement[bool]) -> tuple[Alert, ...]:
        page = select(alerts).where(*conditions).order_by(alerts.c.id)
        async with self._transactions.read() as connection:
            return tuple(self._readable((await connection.execute(page)).all()))

    def _readable(self, rows: Iterable[Row[Any]]) -> Iterable[Alert]:
        for row in rows:
            try:
                yield _alert(row)
            except ValueError as error:  # another version's
                if row.id not in self._unreadable:
                    self._unreadable.add(row.id)
                    log.warning("ledger.alert_unreadable", alert=row.id, why=str(error))

    async def _changed(self, change: Any, it: ColumnElement[bool]) -> Alert | None:  # noqa: ANN401
        async with self._transactions.write() as connection:
            if (await connection.execute(change)).rowcount != 1:
                return None
            return _alert((await connection.execute(select(alerts).where(it))).one())

    async def _write(self, change: Any) -> None:  # noqa: ANN401
        async with self._transactions.write() as connection:
            await connection.execute(change)


def _kill(rows: list[Any]) -> KillSeen:
    first = rows[0]
    aimed = {row.pid for row in rows if row.outcome is None or row.outcome in SUCCEEDED | LIVING}
    ended = {row.pid for row in rows if row.outcome in SUCCEEDED}
    by = Actor(first.confirmed_by, first.confirmed_by_team or "")
    return KillSeen(first.id, by, frozenset(aimed), frozenset(ended))


def _alert(row: Row[Any]) -> Alert:
    rule = None if row.finding == MORE else Rule(row.finding)
    ended_by = None
    if row.ended_by_kill is not None:
        ended_by = (row.ended_by_kill, Actor(row.ended_by or "", row.ended_by_team or ""))
    return Alert(
        id=row.id,
        key=row.key,
        topic=Topic(row.cluster, rule, decoded(row.subject)),
        channel_id=row.channel_id,
        message_ts=row.message_ts or "",
        state=AlertState(row.state),
        since=row.since,
        opened_at=row.opened_at,
        told_at=row.told_at,
        told_hurt=row.told_hurt,
        worst=row.worst,
        seen_at=row.seen_at,
        relapses=row.relapses,
        over_at=row.over_at,
        ended_by=ended_by,
        muted_until=row.muted_until,
        muted_by=None if row.muted_by is None else Actor(row.muted_by, row.muted_by_team or ""),
        news=None if row.news is None else News(row.news),
        replies=row.replies,
        revision=row.revision,
        drawn=row.drawn,
    )
