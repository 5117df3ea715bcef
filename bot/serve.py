"""The composition root: build everything, run it until a signal, and drain it."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from pydantic import SecretStr

from bot import __version__, config
from bot.check.ledger import IDENTITY_SHOWN
from bot.domain.people import Glob, Right
from bot.domain.protection import roles_named
from bot.errors import LedgerError, SettingsError
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.postgres.cluster import PostgresCluster
from bot.postgres.fleet import open_fleet
from bot.service.clock import SystemClock
from bot.service.health import HealthServer
from bot.service.metrics import Metrics
from bot.slack.app import SlackService, SlackSettings
from bot.terminal import EX_OK

log = structlog.get_logger("bot")


async def run(settings: config.Settings) -> int:
    """Open everything in order, serve until a signal, close in the reverse order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        ledger = await _ledger(settings, stack, keep=settings.ledger_keep)
        clusters = await open_fleet(
            {name: url.get_secret_value() for name, url in settings.clusters.items()}, stack
        )
        _warn_of_idle_names(settings.protected_roles, clusters.values())
        metrics = Metrics(lambda: {name: one.connections for name, one in clusters.items()})
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
            meter=metrics,
        )
        slack = SlackService(slack_settings(settings), operations, clock, metrics)
        stack.push_async_callback(slack.close)
        if not await _unless(stop, slack.open()):
            return EX_OK
        if settings.health_port is not None:
            checks = {"slack": slack.connected, "ledger": lambda: _writable(ledger)}
            health = HealthServer(settings.health_port, checks, metrics.exposed)
            stack.push_async_callback(health.close)
            try:
                await health.open()
            except OSError as error:
                raise SettingsError((f"HEALTH_PORT: can't listen ({error.strerror})",)) from None
        log.info(
            "bot.ready",
            version=__version__,
            clusters=list(clusters),
            ledger=ledger.identity[:IDENTITY_SHOWN],
        )
        await stop.wait()
        log.info("bot.stopping")
    log.info("bot.stopped")
    return EX_OK


def _warn_of_idle_names(protected: tuple[Glob, ...], clusters: Iterable[PostgresCluster]) -> None:
    """Say which of PROTECTED_ROLES no server knows, once all of them have told their roles."""
    every = [cluster.last_names for cluster in clusters]
    if not all(names is not None and names.known_at is not None for names in every):
        return
    roles = {role.rolname for names in every if names is not None for role in names.roles.values()}
    idle = ["*".join(glob) for glob in protected if not roles_named((glob,), roles)]
    if idle:
        log.warning("settings.protects_nothing", variable="PROTECTED_ROLES", names=idle)


async def _unless(stop: asyncio.Event, opening: Coroutine[None, None, None]) -> bool:
    """Finish opening, or leave it where the process is told to stop; whether it finished."""
    work, stopped = asyncio.ensure_future(opening), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("bot.stopped_while_starting")
            return False
        await work
        return True
    finally:
        for task in (work, stopped):
            task.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)


async def _ledger(
    settings: config.Settings, stack: AsyncExitStack, *, keep: timedelta | None = None
) -> SqlLedger:
    ledger = SqlLedger(settings.ledger_url.get_secret_value(), keep=keep)
    stack.push_async_callback(ledger.close)
    await ledger.open()
    return ledger


async def _writable(ledger: SqlLedger) -> bool:
    try:
        await ledger.ready()
    except LedgerError:
        log.warning("ledger.not_writable", exc_info=True)
        return False
    return True


def slack_settings(settings: config.Settings) -> SlackSettings:
    """What of the settings is Slack's."""
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
