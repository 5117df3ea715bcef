"""Every setting, with the form of its text and its default."""

import shlex
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from bot.config import texts
from bot.domain.alerts import DEFAULT_AFTER
from bot.domain.findings.model import Rule
from bot.domain.people import Allowlist, Allowlists, Glob, Right, Rights
from bot.domain.query_tags import DEFAULT_KEYS
from bot.pg_url import read

T = TypeVar("T")
PerCluster = Annotated[Mapping[str, T], AfterValidator(MappingProxyType)]
"""A setting that clusters may have for themselves, as `PG_KILL_ALLOWLIST_PROD`: by name."""

GENERAL = ""
"""The key in these of the value for all clusters that have none of their own."""

LogFormat = Literal["json", "console"]

_PORT = BeforeValidator(texts.whole_number(1, 65_535, "a port"))
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_DatabaseUrl = Annotated[SecretStr, BeforeValidator(texts.one_server)]
_Command = Annotated[SecretStr, BeforeValidator(texts.command)]


class Settings(BaseModel):
    """The environment's settings, checked. Made by `load`; its repr masks all secrets.

    A field's alias is its variable.

    Attributes:
        slack_app_token: for Socket Mode, whether or not there is also a signing secret.
        slack_signing_secret: for HTTP mode, if there is no app token.
        slack_api_url: ends with a slash.
        clusters: name -> URL; `main` first, then by name. Each URL names one server.
        password_commands: by cluster; see `password_command`.
        kill_allowlist: by cluster, like the other two; see `rights`.
        protected_roles: globs as `bot.domain.protection.Protection` takes them.
        protected_applications: the same.
        second_person_clusters: some of the names in `clusters`.
        alert_channels: by cluster; see `alert_channel_by_cluster`.
        alert_after: how long each finding has to hold; one that isn't here is never told.
        ledger_url: `sqlite:///…` or `postgresql://…`, as it was given.
        secrets_dir: the composition root has already read it.
    """

    model_config = ConfigDict(
        alias_generator=str.upper,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    slack_bot_token: Annotated[SecretStr, BeforeValidator(texts.token("xoxb-", "a bot"))]
    slack_app_token: Annotated[
        SecretStr | None, BeforeValidator(texts.token("xapp-", "an app-level"))
    ] = None
    slack_signing_secret: Annotated[SecretStr | None, BeforeValidator(texts.one_word)] = None
    slack_api_url: Annotated[str, BeforeValidator(texts.api_url)] = "https://slack.com/api/"
    port: Annotated[int, _PORT] = 3000
    clusters: Annotated[PerCluster[_DatabaseUrl], Field(alias="DATABASE_URL")]
    password_commands: Annotated[
        PerCluster[_Command], Field(alias="DATABASE_PASSWORD_COMMAND", default_factory=dict)
    ]
    kill_allowlist: Annotated[
        PerCluster[Annotated[Allowlist, BeforeValidator(texts.allowlist("end sessions"))]],
        Field(alias="PG_KILL_ALLOWLIST", default_factory=dict),
    ]
    cancel_allowlist: Annotated[
        PerCluster[Annotated[Allowlist, BeforeValidator(texts.allowlist("cancel queries"))]],
        Field(alias="PG_CANCEL_ALLOWLIST", default_factory=dict),
    ]
    sessions_allowlist: Annotated[
        PerCluster[Annotated[Allowlist, BeforeValidator(texts.sessions_allowlist)]],
        Field(alias="PG_SESSIONS_ALLOWLIST", default_factory=dict),
    ]
    allowed_channels: Annotated[frozenset[str], BeforeValidator(texts.channels)] = frozenset()
    protected_roles: Annotated[tuple[Glob, ...], BeforeValidator(texts.roles)] = ()
    protected_applications: Annotated[tuple[Glob, ...], BeforeValidator(texts.globs)] = ()
    second_person_clusters: Annotated[frozenset[str], BeforeValidator(texts.names)] = frozenset()
    confirm_ttl: Annotated[timedelta, BeforeValidator(texts.seconds)] = timedelta(seconds=600)
    ledger_url: Annotated[SecretStr, BeforeValidator(texts.ledger_url)] = SecretStr(
        "sqlite:///ledger.db"
    )
    ledger_keep: Annotated[timedelta, BeforeValidator(texts.days)] = timedelta(days=400)
    pgbouncer_addresses: Annotated[
        tuple[IPv4Network | IPv6Network, ...], BeforeValidator(texts.networks)
    ] = ()
    query_tags: Annotated[tuple[str, ...], BeforeValidator(texts.tag_keys)] = DEFAULT_KEYS
    sample_every: Annotated[timedelta, BeforeValidator(texts.pause)] = timedelta(seconds=5)
    alert_channels: Annotated[
        PerCluster[Annotated[str, BeforeValidator(texts.channel)]],
        Field(alias="ALERT_CHANNEL", default_factory=dict),
    ]
    alert_after: Annotated[
        dict[Rule, timedelta],
        BeforeValidator(texts.alert_after),
        Field(default_factory=lambda: dict(DEFAULT_AFTER)),
    ]
    secrets_dir: str | None = None
    health_port: Annotated[int | None, _PORT] = None
    log_level: Annotated[str, BeforeValidator(texts.one_of(*_LEVELS))] = "INFO"
    log_format: Annotated[LogFormat, BeforeValidator(texts.one_of("json", "console"))] = "json"

    def password_command(self, cluster: str) -> tuple[str, ...] | None:
        """The program and its arguments that give this cluster's password.

        The general one is for the clusters whose URL has none.
        """
        command = self.password_commands.get(cluster)
        if command is None and not read(self.clusters[cluster].get_secret_value()).has_password:
            command = self.password_commands.get(GENERAL)
        return None if command is None else tuple(shlex.split(command.get_secret_value()))

    @property
    def alert_channel_by_cluster(self) -> Mapping[str, str]:
        """The channel where the bot speaks first, of each cluster that has one."""
        general = self.alert_channels.get(GENERAL, "")
        found = {name: self.alert_channels.get(name, general) for name in self.clusters}
        return {name: channel for name, channel in found.items() if channel}

    @property
    def rights(self) -> Rights:
        """Who may do what on which cluster."""
        given = {
            Right.KILL: self.kill_allowlist,
            Right.CANCEL: self.cancel_allowlist,
            Right.LOOK: self.sessions_allowlist,
        }
        lists = {
            right: Allowlists(
                lists.get(GENERAL, Allowlist()),
                {name: lists[name] for name in self.clusters if name in lists},
            )
            for right, lists in given.items()
        }
        return Rights(tuple(self.clusters), lists)


VARIABLES: tuple[str, ...] = tuple(str(field.alias) for field in Settings.model_fields.values())
"""Every variable except those for one cluster, in the order in which problems are listed."""

PER_CLUSTER: tuple[str, ...] = tuple(
    str(field.alias)
    for field in Settings.model_fields.values()
    if get_origin(field.annotation) is Mapping
)
"""The variables that each cluster may have for itself, as `DATABASE_URL_<NAME>`."""


def setting_of(variable: str) -> str:
    """`DATABASE_URL` for `DATABASE_URL_PROD`; any other variable itself."""
    of_one = (setting for setting in PER_CLUSTER if variable.startswith(f"{setting}_"))
    return variable if variable in VARIABLES else next(of_one, variable)


def _is_list(annotation: Any) -> bool:  # noqa: ANN401  any type
    if get_origin(annotation) is Mapping:
        value = get_args(annotation)[1]
        return _is_list(get_args(value)[0] if get_origin(value) is Annotated else value)
    return annotation is Allowlist or get_origin(annotation) in {frozenset, tuple, dict}


LISTS: frozenset[str] = frozenset(
    str(field.alias) for field in Settings.model_fields.values() if _is_list(field.annotation)
)
"""The settings whose items are separated by commas."""

WORDS = frozenset({"DATABASE_PASSWORD_COMMAND"})
"""The settings that are split as a shell would, so that quotes may stand in them."""

MAY_BE_BLANK: frozenset[str] = frozenset({*map(str, Right), "ALERT_CHANNEL"})
"""The settings that may be blank for one cluster: then the general one isn't for it."""
