"""Clusters, and the variables that define them."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from bot import pg_url
from bot.config import texts
from bot.config.settings import GENERAL, setting_of

MAIN = "main"
"""The cluster that `DATABASE_URL` names."""

PREFIX = "DATABASE_URL_"

_NAME = re.compile(r"[a-z0-9_-]{1,40}")


def named(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Each cluster's URL by its name, `main` first, and what is wrong with the names."""
    urls: dict[str, str] = {}
    problems = []
    for variable in sorted(given):
        if variable == "DATABASE_URL":
            name = MAIN
        elif variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
        else:
            continue
        if _NAME.fullmatch(name) is None:
            problems.append(f"{variable}: a cluster's name is 1 to 40 of a to z, 0 to 9, _ and -")
        elif name in urls:
            problems.append(f"{variable}: names the cluster `{name}` again, after {urls[name]}")
        else:
            urls[name] = variable
    if not urls and not problems:
        problems.append("DATABASE_URL: is required, or a DATABASE_URL_<NAME>")
    return dict(sorted(urls.items(), key=lambda item: (item[0] != MAIN, item[0]))), problems


def names(given: Iterable[str]) -> list[str]:
    """The clusters that variables name, whether or not there is something wrong with them."""
    further = (each.removeprefix(PREFIX).lower() for each in given if each.startswith(PREFIX))
    return [MAIN, *further]


def of_each(
    setting: str, given: Mapping[str, str], urls: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """The variables of a setting by cluster, the general one's under `GENERAL`.

    And what is wrong with the names.
    """
    found: dict[str, str] = {}
    problems = []
    for variable in sorted(given):
        if setting_of(variable) != setting:
            continue
        name = variable.removeprefix(setting).removeprefix("_").lower()
        if variable == setting:
            found[GENERAL] = variable
        elif name not in urls:
            problems.append(f"{variable}: unknown cluster {_known([name], urls)}")
        elif name in found:
            problems.append(f"{variable}: is of the cluster `{name}` again, after {found[name]}")
        else:
            found[name] = variable
    return found, problems


def two_passwords(
    given: Mapping[str, str], urls: Mapping[str, str], commands: Mapping[str, str]
) -> Iterator[str]:
    """Problems: a command for a URL that has a password, or one that no cluster uses."""
    with_one = {name for name, variable in urls.items() if _has_password(given[variable])}
    for name in sorted(with_one & commands.keys()):
        yield f"{commands[name]}: {urls[name]} has a password too; remove one of them"
    if GENERAL in commands and urls and not urls.keys() - with_one - commands.keys():
        why = "each has a password in its URL, or a command of its own"
        yield f"{commands[GENERAL]}: no cluster uses it: {why}"


def _has_password(url: str) -> bool:
    try:
        return pg_url.read(url).has_password
    except ValueError:
        return False


def unknown(given: Mapping[str, str], urls: Collection[str]) -> Iterator[str]:
    items = texts.split(given.get("SECOND_PERSON_CLUSTERS", ""))
    wrong = sorted({item.strip(texts.QUOTES).lower() for item in items}.difference(urls, {""}))
    if wrong:
        noun = "clusters" if len(wrong) > 1 else "cluster"
        yield f"SECOND_PERSON_CLUSTERS: unknown {noun} {_known(wrong, urls)}"


def _known(wrong: Iterable[str], urls: Collection[str]) -> str:
    known = ", ".join(f"`{name}`" for name in urls) or "none"
    return f"{texts.shown(wrong)}; known clusters: {known}"
