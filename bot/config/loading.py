"""Turn variables into `Settings`, or report every error at once."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from bot.config import clusters, spelling, texts
from bot.config.settings import MAY_BE_BLANK, PER_CLUSTER, VARIABLES, Settings, setting_of
from bot.errors import SettingsError

LEDGER = "LEDGER_URL"


def load(environ: Mapping[str, str | None]) -> Settings:
    """Settings from variables, or a `SettingsError` that lists everything wrong with them.

    A variable that is blank, or None as in a `.env` line without `=`, counts as unset. But a blank
    allowlist for one cluster means that nobody has the right there, and a blank ALERT_CHANNEL that
    the bot posts no alerts about it: the general setting must not take its place.
    """
    given = {name: text.strip() for name, text in environ.items() if text and text.strip()}
    given, kept = spelling.without_what_env_files_keep(given)
    given |= {name: "" for name, text in environ.items() if _is_blank_on_purpose(name, text)}
    urls, problems = clusters.named(given)
    problems += kept
    values: dict[str, Any] = {name: given[name] for name in VARIABLES if name in given}
    variables = {"DATABASE_URL": urls}
    for setting in PER_CLUSTER:
        if setting not in variables:
            variables[setting], wrong = clusters.of_each(setting, given, urls)
            problems += wrong
        values[setting] = {name: given[each] for name, each in variables[setting].items()}
    commands = variables["DATABASE_PASSWORD_COMMAND"]
    problems += clusters.two_passwords(given, urls, commands)
    problems += [*_no_way_in(given), *clusters.unknown(given, urls), *spelling.misspelt(given)]
    try:
        settings = Settings(**values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems += [_problem(detail, variables) for detail in found]
    else:
        if not problems:
            return settings
    raise SettingsError(tuple(sorted(problems, key=_rank)))


def ledger_url(environ: Mapping[str, str | None]) -> SecretStr:
    """The ledger's URL, whatever the other settings. Raises `SettingsError`."""
    given = {name: text.strip() for name, text in environ.items() if text and text.strip()}
    meant, problems = spelling.without_what_env_files_keep(
        {name: text for name, text in given.items() if name == LEDGER}
    )
    problems += [
        spelling.unknown(name, LEDGER) for name in given if spelling.meant_by(name, given) == LEDGER
    ]
    url: SecretStr = Settings.model_fields["ledger_url"].default
    try:
        url = SecretStr(texts.ledger_url(meant[LEDGER])) if LEDGER in meant else url
    except ValueError as error:
        problems.append(f"{LEDGER}: {error}")
    if problems:
        raise SettingsError(tuple(problems))
    return url


def beside(secrets: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables, and those that files of `SECRETS_DIR` set and nothing else does."""
    given = {
        name: text
        for name, text in environ.items()
        if text.strip() or name not in secrets or _is_blank_on_purpose(name, text)
    }
    return {**secrets, **given}


def _is_blank_on_purpose(variable: str, text: str | None) -> bool:
    if text is None or text.strip():
        return False
    return variable not in VARIABLES and setting_of(variable) in MAY_BE_BLANK


def _no_way_in(given: Mapping[str, str]) -> Iterator[str]:
    if "SLACK_APP_TOKEN" not in given and "SLACK_SIGNING_SECRET" not in given:
        yield "SLACK_APP_TOKEN: is required, or SLACK_SIGNING_SECRET for HTTP mode"


def _problem(detail: ErrorDetails, variables: Mapping[str, Mapping[str, str]]) -> str:
    alias, *inner = map(str, detail["loc"])
    variable = variables[alias][inner[0]] if inner else alias
    if detail["type"] == "missing":
        return f"{variable}: is required"
    return f"{variable}: {detail['ctx']['error']}"


def _rank(problem: str) -> tuple[int, str]:
    """Problems are sorted like the settings, with those of unknown variables last."""
    variable = problem.partition(":")[0]
    known = setting_of(variable)
    return (VARIABLES.index(known) if known in VARIABLES else len(VARIABLES), problem)
