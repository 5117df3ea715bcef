"""A value that must not be shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that shows only on purpose: by `revealed`."""

    revealed: str

    def __repr__(self) -> str:
        return "Secret('…')"
