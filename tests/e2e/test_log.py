"""The log: one reference from the command to the last signal, and no secret in any line."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from itertools import groupby
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import BOT, Sessions
from tests.ports import free_port
from tests.servers import postgres
from workspace import Person, Workspace
from workspace.postgres import PostgresServer

PASSWORDS = {
    BOT: "Correct-Horse-1",
    "keeper": "p@ss w%rd/#?&:'é",
    "client": "a-clients-own",
    "wrong": "not-this-one-either",
}
LITERAL, COMMENT, NUMBER, REASON = "LondonCalling", "a comment of Zanzibar", "86753091", "my reason"


def entries(bot: Bot) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bot.lines]


@IN_BOTH_MODES
async def test_one_reference_covers_a_kill_from_command_to_second_look(
    start: Callable, ana: Person, ben: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="followed")
    pid = victim.get_server_pid()
    first = await start()
    await ana.command("/pg-kill app=followed", channel="incidents")
    await first.stop()
    second = await start()
    await ben.click("Terminate 1 session", channel="incidents")
    await ana.sees("Terminated 1 of 1 on main", "10 s later")
    await second.stop()

    (asked,) = (each for each in entries(first) if each["event"] == "request.started")
    reference, what = asked["reference"], "kill.terminate"
    before = [each for each in entries(first) if each.get("reference") == reference]
    after = [each for each in entries(second) if each.get("reference") == reference]
    assert [each["event"] for each in before] == [
        *("request.started", "kill.proposed", "delivery.posted", "request.finished")
    ]
    # A kill that takes over a second says in between that it is under way.
    assert [event for event, _ in groupby(each["event"] for each in after)] == [
        *("kill.claimed", "kill.signal", "kill.concluded", "delivery.updated"),
        *("request.finished", "delivery.updated"),
    ]
    assert {(each["kill"], each["what"], each["user"]) for each in after} == {(1, what, ben.id)}
    (signal,) = (each for each in after if each["event"] == "kill.signal")
    assert (signal["pid"], signal["verdict"]) == (pid, "signalled")
    # Before the click's kill is known, its reference leads there.
    (click,) = (each for each in entries(second) if each["event"] == "kill.confirming")
    assert (click["proposed_as"], click["kill"]) == (reference, 1)
    printed = json.loads(await second.run("history"))
    assert printed["reference"] == reference


async def test_refusals_and_looks_are_recorded_with_the_logs_reference(
    start: Callable, slack: Workspace, ana: Person, ben: Person, sessions: Sessions
) -> None:
    session = await sessions.open("batch", app="looked at")
    waiting = await sessions.open("batch", app="waiting")
    await session.execute("begin; lock table accounts")
    lock = asyncio.ensure_future(waiting.execute("begin; lock table accounts"))
    sessions.stack.callback(lock.cancel)
    bot: Bot = await start(SECOND_PERSON_CLUSTERS="main")
    sam = slack.person("sam")
    await sam.command("/pg-kill user=batch", channel="incidents")
    shown = await ana.command("/pg-sessions main/", channel="incidents")
    await ana.choose("Show a session", str(session.get_server_pid()), in_message=shown)
    await ana.sees_modal("only you see it")
    await ana.close_modal()
    await ana.click("Blocking tree", in_message=shown)
    await ana.sees("Who waits for whom on main")
    preview = await ben.command('/pg-kill app="looked at"', channel="incidents")
    await sam.click("Terminate 1 (2nd person)", in_message=preview)
    await ben.click("Terminate 1 (2nd person)", in_message=preview)
    await bot.says("request.finished", times=6)
    await bot.stop()

    def references(user: str, *what: str) -> list[str]:
        return [
            each["reference"]
            for each in entries(bot)
            if each["event"] in {"request.started", "request.denied"}
            and (each["user"], each["what"]) in {(user, one) for one in what}
        ]

    async def recorded(record: str, user: str) -> list[str]:
        printed = (await bot.run("history", "--of", record)).splitlines()
        found = [json.loads(line) for line in reversed(printed)]
        return [one["reference"] for one in found if one["by"] == user]

    looks = ("/pg-sessions", "sessions.inspect", "answer.show")
    assert await recorded("looks", ana.id) == references(ana.id, *looks)
    denied = [each["reference"] for each in entries(bot) if each["event"] == "request.denied"]
    assert len(set(denied)) == 2
    assert await recorded("refusals", sam.id) == denied
    # Once a click's kill is known, the kill's reference is used.
    kill = json.loads(await bot.run("history"))
    assert await recorded("refusals", ben.id) == [kill["reference"]]
    assert kill["reference"] == references(ben.id, "/pg-kill")[0]


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[PostgresServer]:
    """A server that asks for passwords."""
    async with postgres(auth="scram-sha-256") as server:
        admin = await asyncpg.connect(server.dsn())
        for role, password in PASSWORDS.items():
            literal = password.replace("'", "''")
            await admin.execute(f"create role {role} login password '{literal}'")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        for form in ("json", "console"):
            # Each bot has its own ledger: otherwise one would take over what another left.
            await admin.execute(f"create database {form} owner keeper")
        await admin.close()
        yield server


@pytest.mark.parametrize(("mode", "form"), [("socket", "json"), ("http", "console")])
async def test_no_secret_is_in_any_line_of_any_library(
    start: Callable, slack: Workspace, ana: Person, guarded: PostgresServer, form: str
) -> None:
    held = await asyncpg.connect(guarded.dsn(), server_settings={"application_name": "held"})
    victim = await asyncpg.connect(
        guarded.dsn(user="client", password=PASSWORDS["client"]),
        server_settings={"application_name": "victim"},
    )
    for session in (held, victim):
        await session.execute(f"begin; select '{LITERAL}', {NUMBER} -- {COMMENT}")
    bot: Bot = await start(
        DATABASE_URL=guarded.dsn(user=BOT, password=PASSWORDS[BOT]),
        DATABASE_URL_WRONG=guarded.dsn(user=BOT, password=PASSWORDS["wrong"]),
        DATABASE_URL_DOWN=f"postgresql://{BOT}:{PASSWORDS['wrong']}@127.0.0.1:1/postgres",
        LEDGER_URL=guarded.dsn(user="keeper", password=PASSWORDS["keeper"], database=form),
        LOG_LEVEL="DEBUG",
        LOG_FORMAT=form,
        HEALTH_PORT=str(free_port()),
    )

    await ana.command("/pg-sessions", channel="incidents")
    await ana.command("/pg-sessions wrong/", channel="incidents")
    shown = await ana.command("/pg-sessions main/postgres", channel="incidents")
    await ana.choose("Show a session", str(held.get_server_pid()), in_message=shown)
    await ana.sees_modal(LITERAL, "only you see it")
    await ana.click("Refresh")
    await ana.close_modal()
    await ana.command(f"/pg-sessions app={LITERAL} {LITERAL} {NUMBER}", channel="incidents")
    await slack.person("sam").command(f"/pg-kill app={LITERAL}", channel="incidents")
    slack.faults.fail("chat.postMessage", times=1000)
    slack.faults.fail("chat.postEphemeral", times=1000)
    slack.faults.drop("response_url", times=1000)
    await ana.command(f"/pg-kill main/ app=victim -- {REASON}", channel="incidents", wait=False)
    await bot.says("delivery.failed")
    slack.faults.clear()
    await ana.command(f"/pg-kill main/ app=victim -- {REASON}", channel="incidents")
    slack.faults.fail("chat.update", times=1)
    slack.faults.rate_limit("response_url", times=1)
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")
    await ana.command("/pg-kill history", channel="incidents")
    if slack.server.sockets:
        slack.faults.fail("apps.connections.open", times=1)
        slack.server.sockets.cut()
        await slack.connected()
    held.terminate()
    victim.terminate()
    assert await bot.stop() == 0

    urls = [url.secret for url in slack.state._urls.values()]
    secrets = [
        *(slack.bot_token, slack.app_token, slack.signing_secret),
        *(slack.state.app.verification_token, *urls, *slack.state._triggers),
        *(*PASSWORDS.values(), *(quote(each, safe="") for each in PASSWORDS.values())),
        *(LITERAL, COMMENT, NUMBER, REASON),
    ]
    assert len(urls) > 5
    for secret in secrets:
        assert secret not in bot.output
    assert not re.search("ticket=|postgres(ql)?://", bot.output)
