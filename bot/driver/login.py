"""Why a server can't be reached, or doesn't let the bot in."""

import errno
import re
import socket

_WHY_NOT = {
    # The server tells nobody which of these it is.
    "28P01": "there is no such role, or its password is wrong, missing or expired (VALID UNTIL)",
    "28000": (
        "the role is NOLOGIN or missing, or pg_hba.conf doesn't let it into this database from"
        " here, or only with TLS"
    ),
}


def refusal(sqlstate: str | None) -> str | None:
    """What may be wrong, as a predicate and without a name; None if it isn't about the login."""
    why = _WHY_NOT.get(sqlstate or "")
    return None if why is None else f"refuses the bot's login: {why}"


def is_unknown_name(error: BaseException) -> bool:
    """Whether its host's name leads to no address."""
    # Python doesn't ask about a name such as `db..internal`, which can't be one.
    is_no_name = isinstance(error, UnicodeError) and "idna" in str(error)
    return is_no_name or isinstance(error, socket.gaierror)


TOO_MANY_FILES = "the bot may open no more files and connections: raise LimitNOFILE (ulimit -n)"


def has_too_many_files(error: BaseException) -> bool:
    """Whether the bot's own limit of open files is reached."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def is_refused(error: BaseException) -> bool:
    """Whether nothing listens, at none of the addresses that its name leads to."""
    if isinstance(error, ConnectionRefusedError):
        return True
    # asyncio tells of several addresses (`localhost`) in one text.
    told = re.findall(r"\[Errno (\d+)\]", str(error)) if type(error) is OSError else []
    return bool(told) and set(told) == {str(errno.ECONNREFUSED)}
