"""The bot's SQL, one statement per file."""

from functools import cache
from importlib.resources import files

_PARTS = ("logins", "now", "own", "system_identifier", "waits")


@cache
def get(name: str) -> str:
    """The text of `name.sql` in this folder.

    `{waits}` in it stands for the text of `waits.sql`, and so on.
    """
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    for each in _PARTS:
        if f"{{{each}}}" in text:
            text = text.replace(f"{{{each}}}", part(each))
    return text


def part(name: str) -> str:
    """What stands for `{name}` in other statements."""
    return get(name).rstrip()
