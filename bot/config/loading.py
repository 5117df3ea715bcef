"""Turn variables into `Settings`, or report every error at once."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from bot.config import clusters, spelling
from bot.config.secret import Secret
from bot.config.settings import (
    FORMS,
    GENERAL,
    MAY_BE_BLANK,
    PER_CLUSTER,
    VARIABLES,
    Form,
    Settings,
    setting_of,
)
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
    variables = {"DATABASE_URL": urls}
    for setting in PER_CLUSTER:
        if setting not in variables:
            variables[setting], wrong = clusters.of_each(setting, given, urls)
            problems += wrong
    commands = variables["DATABASE_PASSWORD_COMMAND"]
    problems += clusters.two_passwords(given, urls, commands)
    problems += [
        *_no_way_in(given),
        *_one_port_twice(given),
        *clusters.unknown(given, urls),
        *spelling.misspelt(given),
    ]
    values: dict[str, Any] = {}
    for name, form in FORMS.items():
        alone = {GENERAL: form.variable} if form.variable in given else {}
        found, wrong = _values(form, given, variables.get(form.variable, alone))
        problems += wrong
        values[name] = found if form.is_per_cluster else found.get(GENERAL, form.default)
    if not problems:
        return Settings(**values)
    raise SettingsError(tuple(sorted(problems, key=_rank)))


def ledger_url(environ: Mapping[str, str | None]) -> Secret:
    """The ledger's URL, whatever the other settings. Raises `SettingsError`."""
    given = {name: text.strip() for name, text in environ.items() if text and text.strip()}
    meant, problems = spelling.without_what_env_files_keep(
        {name: text for name, text in given.items() if name == LEDGER}
    )
    problems += [
        spelling.unknown(name, LEDGER) for name in given if spelling.meant_by(name, given) == LEDGER
    ]
    form = FORMS["ledger_url"]
    found, wrong = _values(form, meant, {GENERAL: LEDGER} if LEDGER in meant else {})
    problems += wrong
    if problems:
        raise SettingsError(tuple(problems))
    url: Secret = found.get(GENERAL, form.default)
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
    if "SLACK_BOT_TOKEN" not in given:
        yield "SLACK_BOT_TOKEN: is required"
    if "SLACK_APP_TOKEN" not in given and "SLACK_SIGNING_SECRET" not in given:
        yield "SLACK_APP_TOKEN: is required, or SLACK_SIGNING_SECRET for HTTP mode"


def _one_port_twice(given: Mapping[str, str]) -> Iterator[str]:
    is_http = "SLACK_APP_TOKEN" not in given
    if is_http and given.get("HEALTH_PORT") == given.get("PORT", str(FORMS["port"].default)):
        yield "HEALTH_PORT: is the port of HTTP mode, too (PORT); choose another"


def _values(
    form: Form, given: Mapping[str, str], variables: Mapping[str, str]
) -> tuple[Mapping[str, Any], list[str]]:
    """What the variables of a setting mean, by cluster, and what is wrong with them."""
    values: dict[str, Any] = {}
    problems = []
    for cluster, variable in variables.items():
        try:
            values[cluster] = form.value(given[variable])
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    return MappingProxyType(values), problems


def _rank(problem: str) -> tuple[int, str]:
    """Problems are sorted like the settings, with those of unknown variables last."""
    variable = problem.partition(":")[0]
    known = setting_of(variable)
    return (VARIABLES.index(known) if known in VARIABLES else len(VARIABLES), problem)
