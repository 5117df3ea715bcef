"""The composition root: build everything, run it until a signal, and drain it."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack

import structlog

from bot import __version__, config
from bot.background import together
from bot.domain.people import Glob
from bot.domain.protection import roles_named
from bot.domain.record import IDENTITY_SHOWN
from bot.errors import LedgerError, SettingsError
from bot.ledger.sql import SqlLedger
from bot.operations import AlertRules, Operations
from bot.ports import UNMEASURED
from bot.postgres.cluster import PostgresCluster
from bot.postgres.fleet import fleet_of, open_fleet
from bot.postgres.passwords import PasswordCommand
from bot.service.clock import SystemClock
from bot.service.health import HealthServer
from bot.slack.app import SlackService, SlackSettings
from bot.terminal import EX_OK

log = structlog.get_logger("bot")


async def run(settings: config.Settings) -> int:
    """Open everything, serve until a signal, then close Slack first and the ledger last."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        ledger = SqlLedger(settings.ledger_url.revealed, keep=settings.ledger_keep)
        urls = {name: url.revealed for name, url in settings.clusters.items()}
        sampled = bool(settings.sample_every)
        clusters = fleet_of(urls, password_commands(settings), sampled=sampled)
        metrics = None
        if settings.health_port is not None:
            # Prometheus's client takes 1.4 MB, and a part of the start.
            from bot.service.metrics import Metrics  # noqa: PLC0415

            metrics = Metrics(
                lambda: {name: one.connections for name, one in clusters.items()},
                lambda: operations.samples.late(),  # noqa: PLW0108  made below
            )
        meter = metrics or UNMEASURED
        operations = Operations(
            clusters,
            ledger,
            clock,
            rules=settings.rules,
            owner=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
            meter=meter,
            alerts=alert_rules(settings),
        )
        slack = SlackService(slack_settings(settings), operations, clock, meter)
        if settings.health_port is not None and metrics is not None:
            # From the first moment to the last: what keeps the bot from being ready is asked here.
            checks = {"slack": slack.connected, "ledger": lambda: _writable(ledger)}
            health = HealthServer(settings.health_port, checks, metrics.exposed)
            stack.push_async_callback(health.close)
            await _listen(health)
        for close in (ledger.close, *(one.close for one in clusters.values()), slack.close):
            stack.push_async_callback(close)
        if not await _unless(stop, _open(ledger, clusters.values(), slack, settings)):
            return EX_OK
        log.info(
            "bot.ready",
            version=__version__,
            clusters=list(clusters),
            ledger=ledger.identity[:IDENTITY_SHOWN],
        )
        sampling = asyncio.create_task(operations.samples.run(), name="samples")
        stack.push_async_callback(_ended, sampling)
        await stop.wait()
        log.info("bot.stopping")
    log.info("bot.stopped")
    return EX_OK


async def _open(
    ledger: SqlLedger,
    clusters: Collection[PostgresCluster],
    slack: SlackService,
    settings: config.Settings,
) -> None:
    """Open everything, then let requests in.

    The ledger comes first: hundreds of connections that open at the same time would hold it up
    for longer than it has.
    """
    await ledger.open()
    await together(open_fleet(clusters), slack.prepare())
    _warn_of_idle_names(settings.protected_roles, clusters)
    await slack.open()


def _warn_of_idle_names(protected: tuple[Glob, ...], clusters: Collection[PostgresCluster]) -> None:
    """Log which of PROTECTED_ROLES no server has, once all servers have reported their roles."""
    every = [cluster.last_names for cluster in clusters]
    if not all(names is not None and names.known_at is not None for names in every):
        return
    roles = {role.rolname for names in every if names is not None for role in names.roles.values()}
    idle = ["*".join(glob) for glob in protected if not roles_named((glob,), roles)]
    if idle:
        log.warning("settings.protects_nothing", variable="PROTECTED_ROLES", names=idle)


async def _unless(stop: asyncio.Event, opening: Coroutine[None, None, None]) -> bool:
    """Finish opening, unless the process is told to stop; return whether it finished."""
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


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _writable(ledger: SqlLedger) -> bool:
    if not ledger.identity:
        return False  # it is being opened
    try:
        await ledger.ready()
    except LedgerError:
        return False  # the ledger has logged why
    return True


async def _listen(health: HealthServer) -> None:
    try:
        await health.open()
    except OSError as error:
        raise SettingsError((f"HEALTH_PORT: can't listen ({error.strerror})",)) from None


def alert_rules(settings: config.Settings) -> AlertRules:
    """What is told where. Without samples nothing is: they may be switched off for a while."""
    if settings.alert_channel_by_cluster and not settings.sample_every:
        log.warning(
            "alerts.off",
            problem="ALERT_CHANNEL is set, but SAMPLE_EVERY is 0: no samples, no alerts",
        )
        return AlertRules()
    return AlertRules(settings.alert_channel_by_cluster, settings.alert_after)


def slack_settings(settings: config.Settings) -> SlackSettings:
    """The settings that the Slack side needs."""
    return SlackSettings(
        bot_token=settings.slack_bot_token.revealed,
        app_token=_revealed(settings.slack_app_token),
        signing_secret=_revealed(settings.slack_signing_secret),
        port=settings.port,
        api_url=settings.slack_api_url,
        rights=settings.rights,
        allowed_channels=settings.allowed_channels,
        alert_channels=frozenset(settings.alert_channel_by_cluster.values()),
    )


def password_commands(settings: config.Settings) -> dict[str, PasswordCommand]:
    """The programs that give passwords, by cluster. None of them sees the bot's own settings."""
    seen = {name: text for name, text in os.environ.items() if not config.is_setting(name)}
    found = {name: settings.password_command(name) for name in settings.clusters}
    return {name: PasswordCommand(words, seen) for name, words in found.items() if words}


def _revealed(secret: config.Secret | None) -> str | None:
    return None if secret is None else secret.revealed
