"""What a command prints on a terminal, and how it ends."""

import io
import sys

from bot.text import visible

EX_OK = 0

EX_FAILED = 1

EX_SETTINGS = 2

EX_INTERRUPTED = 130


def print_error(problem: str) -> None:
    """Say why the command ends; a name in the text can't act on the terminal."""
    print(visible(problem), file=sys.stderr)  # noqa: T201  said before there are logs


def take_every_name() -> None:
    """Keep a name that the terminal's encoding lacks from ending a command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
