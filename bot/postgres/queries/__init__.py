"""The SQL of the bot, one statement to a file."""

from functools import cache
from importlib.resources import files


@cache
def get(name: str) -> str:
    """The text of `name.sql` in this folder."""
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
