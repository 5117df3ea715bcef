"""`python -m bot` and `pg-sessions-bot`: arguments and exit codes."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bot import __version__
from bot.domain.record import KILLS, Record
from bot.errors import LedgerError, SettingsError, SlackDown
from bot.terminal import EX_FAILED, EX_INTERRUPTED, EX_SETTINGS, print_error, take_every_name

if TYPE_CHECKING:
    from bot import config

    _Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  has no name

T = TypeVar("T")

EPILOG = "exit status: 0 if all is well, 1 after a failure, 2 for wrong settings or arguments"


def main() -> int:
    """Run the bot, print its record, or check what it needs; return the exit status."""
    options = _options()
    try:
        match options.command:
            case "check":
                return _check()
            case "history":
                return _history(options.of, options.since, options.format)
            case "timeline":
                return _timeline(options.since, options.until, options.cluster, options.json)
            case _:
                return _run()
    except BrokenPipeError:
        # The reader has seen enough (`| head`), so discard the rest of the output.
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


def _options() -> argparse.Namespace:
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        prog="python -m bot" if name == "__main__" else name,
        description="/pg-sessions and /pg-kill for Slack",
        epilog=EPILOG,
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
    _add_history(commands)
    timeline = _add_timeline(commands)
    options = parser.parse_args()
    if options.command == "timeline" and options.since >= options.until:
        timeline.error("argument --until: is not after --since")
    return options


def _add_history(commands: "_Subparsers") -> None:
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


def _add_timeline(commands: "_Subparsers") -> argparse.ArgumentParser:
    timeline = commands.add_parser(
        "timeline",
        help="print what happened, for a postmortem",
        description="Print alerts, looks, previews, kills and refusals in one list by time, as"
        " Markdown to paste into a postmortem. Needs no setting except LEDGER_URL.",
        epilog=EPILOG,
    )
    timeline.add_argument(
        "--since",
        type=_since,
        default="2h",
        metavar="WHEN",
        help="a date, an ISO time (in UTC unless it has an offset), or an age; 2h by default",
    )
    timeline.add_argument(
        "--until", type=_since, default="0m", metavar="WHEN", help="the same; without it, until now"
    )
    timeline.add_argument("--cluster", type=str.lower, metavar="NAME", help="only of this cluster")
    timeline.add_argument("--json", action="store_true", help="one JSON object per line")
    return timeline


def _since(text: str) -> datetime:
    from bot import report

    try:
        return report.since(text, datetime.now(UTC))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _settings() -> "config.Settings":
    """Settings from the environment, then `.env`, then `SECRETS_DIR`. Raises `SettingsError`."""
    from bot import config

    return _read_settings(config.load, config.is_setting, config.is_ours)


def _read_settings(
    read: Callable[[Mapping[str, str | None]], T],
    is_setting: Callable[[str], bool],
    is_ours: Callable[[str], bool],
) -> T:
    from bot import env_file

    from_file, problems = env_file.read(Path(".env"), is_setting=is_setting)
    environ = {**from_file, **os.environ}
    if folder := environ.get("SECRETS_DIR", "").strip():
        from bot import config, secrets_dir

        found, wrong = secrets_dir.read(Path(folder), is_wanted=is_ours)
        environ, problems = config.beside(found, environ), (*problems, *wrong)
    try:
        settings = read(environ)
    except SettingsError as error:
        raise SettingsError((*_no_env_file(), *problems, *error.problems)) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _no_env_file() -> Iterator[str]:
    """The first step for someone who has just cloned the code."""
    is_configured = not {"SLACK_BOT_TOKEN", "SECRETS_DIR"}.isdisjoint(os.environ)
    is_configured = is_configured or os.path.lexists(".env")
    if not is_configured and Path(".env.example").exists():
        yield ".env: not found; run cp .env.example .env, and fill it in"


def _run() -> int:
    # Imported modules are never freed. The garbage collector would go through them again and again
    # during the imports, and later block the event loop for as long each time.
    gc.disable()
    from bot.serve import run
    from bot.service import logs

    settings = _settings()
    logs.configure(settings.log_level, settings.log_format)
    gc.freeze()
    gc.enable()
    return asyncio.run(run(settings))


def _history(of: str, since: datetime | None, form: str) -> int:
    from bot.print_record import history

    return asyncio.run(history(_ledger_url(), of, since, form))


def _timeline(since: datetime, until: datetime, cluster: str | None, as_json: bool) -> int:
    from bot.domain.timeline import Timeline
    from bot.print_record import timeline

    asked = Timeline(since=since, until=until, cluster=cluster)
    return asyncio.run(timeline(_ledger_url(), asked, as_json=as_json))


def _ledger_url() -> str:
    """The one setting that the record needs. Raises `SettingsError`."""
    from bot import config
    from bot.service import logs

    def is_ledger(name: str) -> bool:
        return name == config.LEDGER

    url = _read_settings(config.ledger_url, is_ledger, is_ledger)
    # Standard output is the answer, which a program may read.
    logs.configure("WARNING", "console")
    return url.revealed


def _check() -> int:
    """Check everything, for a person at a terminal."""
    from bot.check.settings import wrong_settings
    from bot.checkup import check, print_section
    from bot.service import logs

    take_every_name()
    try:
        settings = _settings()
    except SettingsError as error:
        print_section(wrong_settings(error.problems))
        return EX_SETTINGS
    # The findings replace the log, unless somebody is looking for a bug.
    logs.configure("DEBUG" if settings.log_level == "DEBUG" else "CRITICAL", "console")
    return asyncio.run(check(settings))


if __name__ == "__main__":
    sys.exit(main())
