"""`python -m bot`: the one place where the parts meet."""

import argparse
import asyncio
import gc
import io
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import SecretStr

from bot import __version__, config, env_file, report
from bot.check.facts import ClusterFacts, LedgerFacts
from bot.check.findings import Section, lines, passed, summary
from bot.check.ledger import IDENTITY_SHOWN, of_ledger
from bot.check.postgres import needed, of_all, of_cluster
from bot.check.protection import of_protection
from bot.check.settings import of_settings, wrong_settings
from bot.check.slack import of_allowlist, of_channels, of_slack
from bot.domain.people import Glob, Right, roles_named
from bot.domain.record import Entry, HistoryFilter, Noted, Record, Unreadable
from bot.errors import LedgerError, SettingsError, SlackDown
from bot.ledger.probe import probe as probe_ledger
from bot.ledger.sql import SqlLedger
from bot.listening import in_the_way
from bot.operations import Operations, Rules
from bot.postgres.cluster import PostgresCluster
from bot.postgres.fleet import open_fleet
from bot.postgres.probe import probe as probe_cluster
from bot.service import logs
from bot.service.clock import SystemClock
from bot.service.health import HealthServer
from bot.service.metrics import Metrics
from bot.slack.app import SlackService, SlackSettings
from bot.slack.probe import probe as probe_slack
from bot.text import visible

log = structlog.get_logger("bot")

T = TypeVar("T")

EX_OK, EX_FAILED, EX_SETTINGS, EX_INTERRUPTED = 0, 1, 2, 130
HISTORY_CHUNK = 200
KILLS = "kills"
EPILOG = "exit status: 0 if all is well, 1 after a failure, 2 for wrong settings or arguments"


def main(arguments: list[str]) -> int:
    """Run the bot, print its record, or check what it needs; the exit status."""
    options = _options(arguments)
    try:
        match options.command:
            case "check":
                return _check()
            case "history":
                return _history(options.of, options.since, options.format)
            case _:
                settings = _settings()
                logs.configure(settings.log_level, settings.log_format)
                # What the libraries hold stays as long as the process: the collector, which looks
                # at all there is, would hold the loop for 100 ms each time.
                gc.collect()
                gc.freeze()
                return asyncio.run(run(settings))
    except BrokenPipeError:
        # Whoever reads has seen enough: `| head`. What is left to write goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_FAILED
    except KeyboardInterrupt:
        return EX_INTERRUPTED
    except SettingsError as error:
        for problem in error.problems:
            _print_error(problem)
        return EX_SETTINGS
    except LedgerError as error:
        _print_error(f"LEDGER_URL: {error}")
        return EX_FAILED
    except SlackDown as error:
        _print_error(str(error))
        return EX_FAILED


def _print_error(problem: str) -> None:
    """Say why the command ends; a name in it must not act on the terminal."""
    print(visible(problem), file=sys.stderr)  # noqa: T201  said before there are logs


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bot", description="/pg-sessions and /pg-kill for Slack", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"pg-sessions-bot {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser(
        "run", help="connect to Slack and serve (the default command)", epilog=EPILOG
    )
    commands.add_parser(
        "check",
        help="check what the bot needs: settings, Slack, the ledger, each server",
        description="Check what the bot needs: settings, Slack, the ledger and each server."
        " Changes nothing.",
        epilog=EPILOG,
    )
    record = commands.add_parser(
        "history",
        help="print the record",
        description="Print the record, newest first. Needs no setting except LEDGER_URL.",
        epilog=EPILOG,
    )
    record.add_argument(
        "--of",
        choices=(KILLS, *(kind.value for kind in Record)),
        default=KILLS,
        help="kills (the default), attempts that were refused, or looks",
    )
    record.add_argument(
        "--since",
        type=_since,
        metavar="WHEN",
        help="a date, an ISO time (in UTC unless it has an offset), or an age: 30m, 12h, 7d, 2w",
    )
    record.add_argument(
        "--format",
        choices=("json", "csv"),
        default="json",
        help="json (the default): one object per line; csv: a header, then one target per line",
    )
    return parser.parse_args(arguments)


def _since(text: str) -> datetime:
    try:
        return report.since(text, datetime.now(UTC))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _settings() -> config.Settings:
    """From the environment, and `.env` for what is not set there. Raises `SettingsError`."""
    return _read_settings(config.load, config.is_setting)


def _read_settings(
    read: Callable[[Mapping[str, str | None]], T], is_setting: Callable[[str], bool]
) -> T:
    from_file, problems = env_file.read(Path(".env"), is_setting=is_setting)
    try:
        settings = read({**from_file, **os.environ})
    except SettingsError as error:
        raise SettingsError((*_no_env_file(), *problems, *error.problems)) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _no_env_file() -> Iterator[str]:
    """The first step, for whoever has just checked the code out."""
    is_configured = "SLACK_BOT_TOKEN" in os.environ or os.path.lexists(".env")
    if not is_configured and Path(".env.example").exists():
        yield ".env: not found; run cp .env.example .env, and fill it in"


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
        slack = SlackService(_slack(settings), operations, clock, metrics)
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


def _history(of: str, since: datetime | None, form: str) -> int:
    url = _read_settings(config.ledger_url, lambda name: name == config.LEDGER)
    # What is printed is the answer; a program may read it.
    logs.configure("WARNING", "console")
    return asyncio.run(history(url.get_secret_value(), of, since, form))


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
    _take_every_name()
    for line in lines:
        print(line)  # noqa: T201  this is the command's answer
    sys.stdout.flush()  # whoever reads may have gone
    if is_empty:
        _print_error(f"no {of} on record" + (f" since {since:%Y-%m-%d %H:%M %Z}" if since else ""))
    return EX_OK


def _take_every_name() -> None:
    """A name that the terminal's encoding doesn't have must not end a command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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


def _check() -> int:
    """Check everything, for a person at a terminal."""
    _take_every_name()
    try:
        settings = _settings()
    except SettingsError as error:
        _print(wrong_settings(error.problems))
        return EX_SETTINGS
    # The findings are the log, unless somebody looks for a defect.
    logs.configure("DEBUG" if settings.log_level == "DEBUG" else "CRITICAL", "console")
    return asyncio.run(check(settings))


async def check(settings: config.Settings) -> int:
    """Look at everything that the bot needs and print what is found; changes nothing."""
    sections = []
    async for section in _looked_at(settings):
        _print(section)
        sections.append(section)
    print(summary(sections))  # noqa: T201
    return EX_OK if passed(sections) else EX_FAILED


async def _looked_at(settings: config.Settings) -> AsyncIterator[Section]:
    """Each section as soon as it can be told; Slack and all servers are asked at once."""
    asked_slack = asyncio.create_task(probe_slack(_slack(settings)))
    asked_servers = asyncio.create_task(_servers(settings))
    yield of_settings(clusters=settings.clusters, mode=_mode(settings), ports=_ports(settings))
    slack = await asked_slack
    lists = _slack(settings).lists
    yield of_slack(slack)
    yield of_allowlist(Right.KILL, lists, slack, second_person=settings.second_person_clusters)
    yield of_allowlist(Right.LOOK, lists, slack)
    yield of_channels(settings.allowed_channels, slack)
    clusters, ledger = await asked_servers
    yield of_ledger(ledger, clusters)
    opened = needed(clusters, ledger)
    may_kill = not settings.kill_allowlist.empty
    for cluster in clusters:
        yield of_cluster(cluster, needed=opened[cluster.name], may_kill=may_kill)
    if (together := of_all(clusters)).findings:
        yield together
    for section in of_protection(
        clusters, settings.protected_roles, settings.protected_applications
    ):
        yield section


async def _servers(settings: config.Settings) -> tuple[list[ClusterFacts], LedgerFacts]:
    clusters = await asyncio.gather(
        *(probe_cluster(name, url.get_secret_value()) for name, url in settings.clusters.items())
    )
    # Not before: the ledger's session would be taken for one of other software's.
    return clusters, await probe_ledger(settings.ledger_url.get_secret_value())


def _mode(settings: config.Settings) -> str:
    return "HTTP mode" if settings.slack_app_token is None else "Socket Mode"


def _ports(settings: config.Settings) -> Iterator[tuple[str, int, str | None]]:
    """The ports that the bot listens on, by their variables, and what is in the way there."""
    if settings.slack_app_token is None:
        yield "PORT", settings.port, in_the_way(settings.port)
    if settings.health_port is not None:
        yield "HEALTH_PORT", settings.health_port, in_the_way(settings.health_port)


def _print(section: Section) -> None:
    print(*lines(section), sep="\n", flush=True)  # noqa: T201  this is the command's answer


async def _all_noted(ledger: SqlLedger, record: Record, since: datetime | None) -> list[Noted]:
    noted: list[Noted] = []
    before: int | None = None
    while True:
        chunk = await ledger.noted(record, since=since, limit=HISTORY_CHUNK, before_id=before)
        noted += chunk
        if len(chunk) < HISTORY_CHUNK:
            return noted
        before = chunk[-1].id


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
