"""`SECRETS_DIR`: a folder of files named like settings, as Docker and Kubernetes mount secrets."""

from collections.abc import Callable
from pathlib import Path

LONGEST = 65_536
"""Bytes of a file. A longer one isn't a setting."""


def read(
    folder: Path, *, is_wanted: Callable[[str], bool]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables, and a line for each problem, which shows no path and no content.

    A name counts in any case. Files with other names than those wanted aren't opened.
    """
    try:
        files = sorted(folder.iterdir())
    except FileNotFoundError:
        return {}, ("SECRETS_DIR: there is no such folder",)
    except NotADirectoryError:
        return {}, ("SECRETS_DIR: is a file, not a folder",)
    except OSError as error:
        return {}, (f"SECRETS_DIR: can't be read ({error.strerror})",)
    found: dict[str, str] = {}
    problems = []
    for file in files:
        name = file.name.upper()
        if not is_wanted(name):
            continue
        if name in found:
            problems.append(f"{name}: SECRETS_DIR has two files with this name")
            continue
        try:
            found[name] = _text(file)
        except OSError as error:
            problems.append(f"{name}: its file in SECRETS_DIR can't be read ({error.strerror})")
        except ValueError as error:
            problems.append(f"{name}: its file in SECRETS_DIR {error}")
    return found, tuple(problems)


def _text(file: Path) -> str:
    """Raises `OSError`, and `ValueError` with words that follow the file."""
    if not file.is_file() and file.exists():
        raise ValueError("isn't a file")
    with file.open("rb") as opened:
        raw = opened.read(LONGEST + 1)
    if len(raw) > LONGEST:
        raise ValueError(f"has more than {LONGEST} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
