"""What a command says at a terminal, and how it ends."""

import io
import sys

from bot.text import visible

EX_OK = 0

EX_FAILED = 1

EX_SETTINGS = 2

EX_INTERRUPTED = 130


def print_error(problem: str) -> None:
    """Say why the command ends; a name in it must not act on the terminal."""
    print(visible(problem), file=sys.stderr)  # noqa: T201  said before there are logs


def take_every_name() -> None:
    """A name that the terminal's encoding doesn't have must not end a command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
