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
    for part in _PARTS:
        if f"{{{part}}}" in text:
            text = text.replace(f"{{{part}}}", get(part).rstrip())
    return text
