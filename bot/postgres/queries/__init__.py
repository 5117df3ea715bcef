"""The SQL of the bot, one statement to a file."""

from functools import cache
from importlib.resources import files


@cache
def get(name: str) -> str:
    """The text of `name.sql` in this folder.

    `{edges}` stands for `edges.sql`: looks and signals must see the same waits.
    """
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return text.replace("{edges}", get("edges").rstrip()) if "{edges}" in text else text
