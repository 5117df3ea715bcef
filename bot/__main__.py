"""`python -m bot`: the one place where the parts meet."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bot import __version__, config, env_file, report
from bot.check.settings import wrong_settings
from bot.checkup import check, print_section
from bot.domain.record import Record
from bot.errors import LedgerError, SettingsError, SlackDown
from bot.print_record import KILLS, history
from bot.serve import run
from bot.service import logs
from bot.terminal import EX_FAILED, EX_INTERRUPTED, EX_SETTINGS, print_error, take_every_name

T = TypeVar("T")

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
            print_error(problem)
        return EX_SETTINGS
    except LedgerError as error:
        print_error(f"LEDGER_URL: {error}")
        return EX_FAILED
    except SlackDown as error:
        print_error(str(error))
        return EX_FAILED


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


def _history(of: str, since: datetime | None, form: str) -> int:
    url = _read_settings(config.ledger_url, lambda name: name == config.LEDGER)
    # What is printed is the answer; a program may read it.
    logs.configure("WARNING", "console")
    return asyncio.run(history(url.get_secret_value(), of, since, form))


def _check() -> int:
    """Check everything, for a person at a terminal."""
    take_every_name()
    try:
        settings = _settings()
    except SettingsError as error:
        print_section(wrong_settings(error.problems))
        return EX_SETTINGS
    # The findings are the log, unless somebody looks for a defect.
    logs.configure("DEBUG" if settings.log_level == "DEBUG" else "CRITICAL", "console")
    return asyncio.run(check(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
