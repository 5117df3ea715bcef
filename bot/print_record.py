"""`python -m bot history`: print the record."""

import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import datetime

from bot import report
from bot.domain.record import Entry, HistoryFilter, Noted, Record, Unreadable
from bot.ledger.sql import SqlLedger
from bot.terminal import EX_OK, print_error, take_every_name

HISTORY_CHUNK = 200

KILLS = "kills"


async def history(ledger_url: str, of: str, since: datetime | None, form: str) -> int:
    """Print the record, newest first. Raises `LedgerError`, also if there is no ledger yet."""
    is_csv = form == "csv"
    lines: Iterable[str]
    ledger = SqlLedger(ledger_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ledger.close)
        await ledger.open_to_read()
        if of == KILLS:
            entries = await _all_since(ledger, since)
            is_empty = not entries
            lines = report.as_csv(entries) if is_csv else report.as_json(entries)
        else:
            noted = await _all_noted(ledger, Record(of), since)
            is_empty = not noted
            lines = report.noted_as_csv(noted) if is_csv else report.noted_as_json(noted)
    take_every_name()
    for line in lines:
        print(line)  # noqa: T201  this is the command's answer
    sys.stdout.flush()  # whoever reads may have gone
    if is_empty:
        print_error(f"no {of} on record" + (f" since {since:%Y-%m-%d %H:%M %Z}" if since else ""))
    return EX_OK


async def _all_since(ledger: SqlLedger, since: datetime | None) -> list[Entry | Unreadable]:
    entries: list[Entry | Unreadable] = []
    before: int | None = None
    while True:
        chunk = await ledger.history(
            HistoryFilter(since=since), limit=HISTORY_CHUNK, before_id=before
        )
        entries += chunk
        if len(chunk) < HISTORY_CHUNK:
            return entries
        before = chunk[-1].number


async def _all_noted(ledger: SqlLedger, record: Record, since: datetime | None) -> list[Noted]:
    noted: list[Noted] = []
    before: int | None = None
    while True:
        chunk = await ledger.noted(record, since=since, limit=HISTORY_CHUNK, before_id=before)
        noted += chunk
        if len(chunk) < HISTORY_CHUNK:
            return noted
        before = chunk[-1].id
