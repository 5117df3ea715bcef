"""Find variables that don't say what was meant: quotes, comments, misspelt names."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from bot.config import clusters, texts
from bot.config.settings import LISTS, MAY_BE_BLANK, VARIABLES, WORDS, setting_of

# An unknown variable with such a prefix can only be meant for the bot. To ignore it would leave
# unprotected what it was meant to protect.
_OURS = ("PG_CANCEL_ALLOW", "PG_KILL_ALLOW", "PG_SESSIONS_ALLOW", "PROTECTED_", "SECOND_PERSON")

# Names so common that a near match isn't a typo for them. If one of these is missing, that shows or
# does no harm.
_ANYONES = frozenset(
    {"SECRETS_DIR", "PORT", "DATABASE_URL", "HEALTH_PORT", "LOG_LEVEL", "LOG_FORMAT"}
)

# Slack's older libraries read this one, so it isn't a typo for SLACK_APP_TOKEN.
_OF_OTHERS = frozenset({"SLACK_API_TOKEN"})


def is_setting(name: str) -> bool:
    """Whether the bot reads this variable."""
    return setting_of(name) in VARIABLES


def is_ours(name: str) -> bool:
    """Whether the bot reads this variable, or it can only be a misspelt one that it reads."""
    return is_setting(name) or meant_by(name, (name,)) is not None


def without_what_env_files_keep(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The texts as they were meant, and problems with those that contain syntax.

    Quotes and comments are syntax in `.env` and in a shell, but `docker --env-file` and
    `kubectl --from-env-file` pass them on.
    """
    meant, problems = dict(given), []
    for name in filter(is_setting, given):
        text = given[name]
        if not text.isascii() and text != (clean := text.encode(errors="replace").decode()):
            problems.append(f"{name}: is not UTF-8")
            text = clean
        if (comment := re.search(r"\s#", text)) is not None:
            problems.append(
                f"{name}: contains ` #`, which starts a comment in some files, but"
                " --env-file keeps it: remove it (in a name, write `*` instead)"
            )
            text = text[: comment.start()].rstrip()
        if text and text[0] in texts.QUOTES and setting_of(name) not in (*LISTS, *WORDS):
            problems.append(f"{name}: is in quotes, which --env-file keeps: remove them")
            text = text.strip(texts.QUOTES)
        meant[name] = text
    return {name: text for name, text in meant.items() if text}, problems


def misspelt(given: Mapping[str, str]) -> Iterator[str]:
    """Variables that can only be misspelt names of ours.

    A typo here silently protects, restricts or records nothing. Other programs share Slack's
    prefix, so a name with it counts only if it is very close to one that is unset.
    """
    for variable in given:
        if meant := meant_by(variable, given):
            yield unknown(variable, meant)


def meant_by(variable: str, given: Collection[str]) -> str | None:
    """The setting that an unknown variable must have been meant for."""
    if is_setting(variable) or variable in _OF_OTHERS:
        return None
    slack = [name for name in VARIABLES if name.startswith("SLACK_")]
    own = [name for name in VARIABLES if name not in _ANYONES and name not in slack]
    own += [f"{each}_{name.upper()}" for each in MAY_BE_BLANK for name in clusters.names(given)]
    name = variable.upper()
    nearest = get_close_matches(name, own, n=1, cutoff=0.85)
    if not nearest and name.startswith(_OURS):
        nearest = get_close_matches(name, own, n=1, cutoff=0)
    if not nearest and name.startswith("SLACK_"):
        unset = [known for known in slack if known not in given]
        nearest = get_close_matches(name, unset, n=1, cutoff=0.9)
    return nearest[0] if nearest else None


def unknown(variable: str, nearest: str) -> str:
    return f"{variable}: unknown setting; did you mean {nearest}?"
