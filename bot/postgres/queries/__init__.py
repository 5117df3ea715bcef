"""The SQL of the bot, one statement to a file."""

from functools import cache
from importlib.resources import files

_PARTS = ("logins", "now", "waits")


@cache
def get(name: str) -> str:
    """The text of `name.sql` in this folder.

    `{waits}` in it stands for `waits.sql`, and so on.
    """
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    for part in _PARTS:
        if f"{{{part}}}" in text:
            text = text.replace(f"{{{part}}}", get(part).rstrip())
    return text
