"""`.env`: variables in a file, read so that none is silently lost."""

import codecs
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from bot.errors import SettingsError

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read(
    path: Path, *, is_setting: Callable[[str], bool]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables, and a problem for each line of the file that can't be meant as it is.

    A line that can't be parsed, or that sets one of our variables (`is_setting`) a second time,
    may be the one that protects something. A missing file has no variables. Raises `SettingsError`
    if the file can't be read as text.
    """
    problems, set_in, sound = [], dict[str, int](), ""
    for binding in parse_stream(io.StringIO(_text(path))):
        statement = binding.original.string
        # The binding includes the blank lines before it.
        line = binding.original.line + statement[: -len(statement.lstrip())].count("\n")
        name = binding.key or ""
        if binding.error or (name and binding.value is None and not _NAME.fullmatch(name)):
            problems.append(f"{path}: line {line} can't be read; write NAME=value")
            continue
        if name in set_in and is_setting(name):
            problems.append(f"{path}: line {line} sets {name} again, after line {set_in[name]}")
        set_in.setdefault(name, line)
        sound += statement
    found = dotenv_values(stream=io.StringIO(sound))
    return {name: value for name, value in found.items() if value is not None}, tuple(problems)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if not os.path.lexists(path):
            return ""
        raise SettingsError((f"{path}: is a link to a file that does not exist",)) from None
    except IsADirectoryError:
        # Docker creates a folder when a file to be mounted doesn't exist.
        raise SettingsError((f"{path}: is a folder, not a file",)) from None
    except OSError as error:
        raise SettingsError((f"{path}: can't be read ({error.strerror})",)) from None
    if raw.startswith(_UTF_16) or b"\0" in raw:
        raise SettingsError((f"{path}: is UTF-16, not UTF-8; save it as UTF-8",))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"{path}: is not UTF-8 (line {line}), but Latin-1 or the like; save it as UTF-8"
        raise SettingsError((problem,)) from None
