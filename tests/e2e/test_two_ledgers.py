"""Two ledgers share numbers, but no button of one acts on a kill of the other."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.integration.conftest import Sessions
from tests.integration.kills import lives
from workspace import Person, Workspace
from workspace.people import PATIENCE

OTHER_LEDGER = "another ledger, not in this bot's"


async def test_buttons_of_a_lost_ledger_do_nothing(
    start: Callable, ana: Person, ben: Person, sessions: Sessions, tmp_path: Path
) -> None:
    shown_first = await sessions.open("batch", app="shown first")
    runs = await sessions.open("batch", app="shown first")
    running = asyncio.ensure_future(runs.fetchval("select pg_sleep(60)"))
    bot = await start()
    old = await ana.command('/pg-kill app="shown first"', channel="incidents")
    before = ana.text_of(old)
    assert await bot.stop() == 0
    (tmp_path / "ledger.db").unlink()
    await start()
    other = await sessions.open("batch", app="shown later")
    new = await ana.command('/pg-kill app="shown later"', channel="incidents")

    last = new
    buttons = ("Terminate 2 sessions", "Cancel query", "Cancel, then terminate", "Dismiss")
    for button in buttons:
        await ben.click(button, in_message=old)
        last = await ben.sees(OTHER_LEDGER, "Nothing was done", after=last)

    assert ana.text_of(old) == before
    assert await lives(shown_first)
    assert not running.done()
    running.cancel()
    assert await lives(other)
    await ben.click("Terminate 1 session", in_message=new)
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(other)


async def test_outcome_of_a_lost_ledger_offers_no_new_preview(
    start: Callable, ana: Person, sessions: Sessions, tmp_path: Path
) -> None:
    bot = await start(CONFIRM_TTL="1")
    await sessions.open("batch", app="expires")
    await ana.command("/pg-kill app=expires", channel="incidents")
    old = await ana.sees("Terminate 1 session on main?")
    await ana.sees("Expired")
    assert await bot.stop() == 0
    (tmp_path / "ledger.db").unlink()
    await start()
    await sessions.open("batch", app="another")
    new = await ana.command("/pg-kill app=another", channel="incidents")

    await ana.click("Preview again", in_message=old)

    await ana.sees(OTHER_LEDGER, after=new)


async def test_timeline_of_an_outcome_says_that_its_ledger_is_lost(
    start: Callable, ana: Person, sessions: Sessions, tmp_path: Path
) -> None:
    bot = await start()
    await sessions.open("batch", app="timeline")
    await ana.command("/pg-kill app=timeline", channel="incidents")
    await ana.click("Terminate 1 session")
    old = await ana.sees("Terminated 1 of 1 on main")
    assert await bot.stop() == 0
    (tmp_path / "ledger.db").unlink()
    await start()

    await ana.click("Timeline", in_message=old)

    await ana.sees(OTHER_LEDGER, after=old)


async def test_preview_made_after_the_backup_dies_with_the_restored_ledger(
    start: Callable, ana: Person, sessions: Sessions, tmp_path: Path
) -> None:
    bot = await start()
    assert await bot.stop() == 0
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    bot = await start()
    first = await sessions.open("batch", app="before the restore")
    old = await ana.command('/pg-kill app="before the restore"', channel="incidents")
    assert await bot.stop() == 0
    shutil.copy(tmp_path / "backup.db", tmp_path / "ledger.db")
    await start()
    second = await sessions.open("batch", app="after the restore")
    new = await ana.command('/pg-kill app="after the restore"', channel="incidents")

    await ana.click("Terminate 1 session", in_message=old)

    await ana.sees("This preview is no longer in the ledger", after=new)
    assert await lives(first)
    assert await lives(second)


async def test_two_bots_with_a_ledger_each_end_only_what_was_shown(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    for number in range(2):
        await start(LEDGER_URL=f"sqlite:///{number}.db")
    await slack.connected(2)
    previews = []
    for number in range(4):  # both ledgers have kills 1 and 2
        app = f"two ledgers {number}"
        victim = await sessions.open("batch", app=app)
        await ana.command(f'/pg-kill app="{app}"', channel="incidents")
        previews.append((await ana.sees("Terminate 1 session on main?", app), victim))

    def refusals() -> int:
        return sum(OTHER_LEDGER in ana.text_of(message) for message in ana.messages("incidents"))

    for at, (preview, victim) in enumerate(previews):
        refused = refusals()
        # The click goes to the bot that made the preview, or to the one that never had it.
        await ana.click("Terminate 1 session", in_message=preview)
        async with asyncio.timeout(PATIENCE):
            while (lived := await lives(victim)) and refusals() == refused:
                await asyncio.sleep(0.02)
        assert lived is (refusals() > refused)
        for _, later in previews[at + 1 :]:
            assert await lives(later)
