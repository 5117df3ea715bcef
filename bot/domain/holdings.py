"""What goes with a session besides its transaction, as far as PostgreSQL shows it. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bot.domain.sessions import Backend
from bot.text import is_visible

FIND_INVALID: Final = "select indexrelid::regclass from pg_index where not indisvalid;"
"""Finds what an index build left behind if its name isn't known."""

_REBUILT: Final = re.compile(r'_cc(?:new|old)[0-9]*"?\Z')
"""The end of the names that REINDEX CONCURRENTLY gives to what may be dropped."""


@dataclass(frozen=True, slots=True)
class Build:
    """A concurrent index build; `index` is the name with its schema as SQL, if it can be read."""

    command: str
    index: str | None = None

    @property
    def drop(self) -> str | None:
        """The statement that drops what is left if the build ends; None if that isn't known.

        While a REINDEX begins, it still reports the index that is in use.
        """
        if self.index is None or not is_visible(self.index):
            return None
        if self.command.startswith("REINDEX") and not _REBUILT.search(self.index):
            return None
        return f"drop index concurrently {self.index};"


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot that a session uses; a temporary one is dropped at its end."""

    name: str
    temporary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What PostgreSQL shows of one session.

    `prepared` are the gids of prepared transactions of its role in its database. They outlive it,
    and nothing tells which session prepared them.
    """

    advisory: int = 0  # locks
    slots: tuple[Slot, ...] = ()
    build: Build | None = None
    prepared: tuple[str, ...] = ()


class Told(Enum):
    """What its last statement tells. PostgreSQL shows nothing else of these to other sessions."""

    LISTEN = re.compile(r"listen\b", re.IGNORECASE)
    TEMPORARY = re.compile(r"create (?:(?:global|local) )?temp(?:orary)? table\b", re.IGNORECASE)


_BUILDS: Final = re.compile(
    r"create (?:unique )?index concurrently\b|reindex\b[^;]*\bconcurrently\b", re.IGNORECASE
)


def builds_an_index(backend: Backend) -> bool:
    """Whether it runs a concurrent index build, by its redacted text."""
    query = (backend.query or "").lstrip()
    return backend.state == "active" and _BUILDS.match(query) is not None


def told(backend: Backend) -> Iterator[Told]:
    """What the statement of a session tells, by its redacted text."""
    query = (backend.query or "").lstrip()
    return (each for each in Told if each.value.match(query))
