"""`python -m bot`: the one place where the parts meet."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from contextlib import AsyncExitStack

import structlog
from dotenv import dotenv_values
from pydantic import SecretStr

from bot import __version__, config
from bot.errors import LedgerError, SettingsError
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.policy import Right
from bot.postgres.fleet import open_fleet
from bot.service import logs
from bot.service.clock import SystemClock
from bot.slack.app import SlackService, SlackSettings

log = structlog.get_logger("bot")

EX_OK, EX_FAILED, EX_SETTINGS = 0, 1, 2


def main(arguments: list[str]) -> int:
    """Run the bot; the exit status."""
    if arguments not in ([], ["run"]):
        print(f"usage: python -m bot [run]   (not: {' '.join(arguments)})", file=sys.stderr)  # noqa: T201
        return EX_SETTINGS
    try:
        settings = config.load(_environment())
        logs.configure(settings.log_level, settings.log_format)
        return asyncio.run(run(settings))
    except SettingsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)  # noqa: T201  said before there are logs
        return EX_SETTINGS
    except LedgerError as error:
        print(f"LEDGER_URL: {error}", file=sys.stderr)  # noqa: T201
        return EX_FAILED


def _environment() -> dict[str, str]:
    """The environment, over what `.env` says."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**from_file, **os.environ}


async def run(settings: config.Settings) -> int:
    """Open everything in order, serve until a signal, close in the reverse order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        ledger = SqlLedger(settings.ledger_url.get_secret_value())
        stack.push_async_callback(ledger.close)
        await ledger.open()
        clusters = await open_fleet(
            {name: url.get_secret_value() for name, url in settings.clusters.items()}, stack
        )
        operations = Operations(
            clusters,
            ledger,
            clock,
            rules=Rules(
                protected_roles=settings.protected_roles,
                protected_applications=settings.protected_applications,
                second_person=settings.second_person_clusters,
                confirm_ttl=settings.confirm_ttl,
            ),
            owner=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        )
        slack = SlackService(_slack(settings), operations, clock)
        stack.push_async_callback(slack.close)
        await slack.open()
        log.info("bot.ready", version=__version__, clusters=list(clusters))
        await stop.wait()
        log.info("bot.stopping")
    log.info("bot.stopped")
    return EX_OK


def _slack(settings: config.Settings) -> SlackSettings:
    return SlackSettings(
        bot_token=settings.slack_bot_token.get_secret_value(),
        app_token=_revealed(settings.slack_app_token),
        signing_secret=_revealed(settings.slack_signing_secret),
        port=settings.port,
        api_url=settings.slack_api_url,
        lists={
            Right.LOOK: settings.sessions_allowlist,
            Right.KILL: settings.kill_allowlist,
        },
        allowed_channels=settings.allowed_channels,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
