"""`python -m bot history` and `timeline`: print the record."""

import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from bot import report
from bot.domain.record import KILLS, HistoryFilter, Record
from bot.domain.timeline import Timeline
from bot.ledger.sql import SqlLedger
from bot.operations.timeline import all_kills, all_noted, read
from bot.report import timeline as written
from bot.terminal import EX_OK, print_error, take_every_name


async def history(ledger_url: str, of: str, since: datetime | None, form: str) -> int:
    """Print the record, newest first. Raises `LedgerError`, also if there is no ledger yet."""
    is_csv = form == "csv"
    lines: Iterable[str]
    async with _opened(ledger_url) as ledger:
        if of == KILLS:
            entries = await all_kills(ledger, HistoryFilter(since=since))
            is_empty = not entries
            lines = report.as_csv(entries) if is_csv else report.as_json(entries)
        else:
            noted = await all_noted(ledger, Record(of), since)
            is_empty = not noted
            lines = report.noted_as_csv(noted) if is_csv else report.noted_as_json(noted)
    _print(lines)
    if is_empty:
        print_error(f"no {of} on record" + (f" since {_minute(since)}" if since else ""))
    return EX_OK


async def timeline(ledger_url: str, asked: Timeline, *, as_json: bool) -> int:
    """Print a timeline, oldest first. Raises `LedgerError`, also if there is no ledger yet."""
    async with _opened(ledger_url) as ledger:
        told = await read(ledger, asked)
    if told.events or told.unreadable:
        _print(written.as_json(told) if as_json else written.as_markdown(told))
    else:
        where = "" if asked.cluster is None else f" of {asked.cluster}"
        between = f"between {_minute(asked.since)} and {_minute(asked.until)}"
        print_error(f"nothing{where} on record {between}")
    return EX_OK


@asynccontextmanager
async def _opened(ledger_url: str) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(ledger_url)
    try:
        await ledger.open_to_read()
        yield ledger
    finally:
        await ledger.close()


def _print(lines: Iterable[str]) -> None:
    take_every_name()
    for line in lines:
        print(line)  # noqa: T201  this is the command's answer
    sys.stdout.flush()  # the reader may be gone


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
