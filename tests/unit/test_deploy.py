"""The manifests in deploy/: they fit their schemas, and agree with the code."""

import configparser
import copy
import functools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

import bot
from bot import background, config
from bot.config.secret import Secret
from bot.domain.people import Right
from bot.errors import SettingsError
from bot.ledger import sql
from bot.ledger.postgres_store import PostgresStore
from bot.postgres import cluster
from bot.service import health
from bot.slack import app
from bot.terminal import EX_SETTINGS
from tests.ports import free_port

Json: TypeAlias = Any
Where: TypeAlias = tuple[str | int, ...]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

DEPLOYMENT, BUDGET = yaml.safe_load_all((DEPLOY / "kubernetes.yml").read_text())
SECRET = yaml.safe_load((DEPLOY / "secret.example.yml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())

POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
(SERVICE,) = COMPOSE["services"].values()

FILLED_IN = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "DATABASE_URL": "postgresql://db/postgres",
    "LEDGER_URL": "postgresql://ledger/pg_sessions_ledger",
}

# Every version for which the package has schemas, from the first that knows `matchLabelKeys`.
VERSIONS = [
    version
    for version in kubernetes_validate.utils.all_versions()
    if int(version.split(".")[1]) >= 27
]

# Names that people choose: no schema knows these keys.
FREE = {"labels", "matchLabels", "stringData", "limits", "requests", "environment", "services"}


def keys(document: Json, where: Where = ()) -> Iterator[Where]:
    """The place of every key in a document, except for free ones."""
    if isinstance(document, dict):
        for key, value in document.items():
            if not (where and where[-1] in FREE):
                yield (*where, key)
            yield from keys(value, (*where, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from keys(value, (*where, index))


def misspelt(document: Json, where: Where) -> Json:
    """A copy of a document in which one key has two extra letters."""
    copied = copy.deepcopy(document)
    parent = copied
    for step in where[:-1]:
        parent = parent[step]
    parent[f"{where[-1]}zz"] = parent.pop(where[-1])
    return copied


# By schema: Kubernetes


# They are megabytes of JSON, which the package reads again for each document.
kubernetes_validate.utils.schema_contents = functools.cache(
    kubernetes_validate.utils.schema_contents
)


def refused(document: Json, version: str) -> bool:
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError:
        return True
    return False


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", [DEPLOYMENT, BUDGET, SECRET], ids=lambda each: each["kind"])
def test_kubernetes_accepts_the_manifest(document, version):
    kubernetes_validate.validate(document, version, strict=True)


def test_manifest_is_checked_against_many_kubernetes_versions():
    assert len(VERSIONS) > 5


@pytest.mark.parametrize("document", [DEPLOYMENT, BUDGET, SECRET], ids=lambda each: each["kind"])
def test_kubernetes_refuses_any_key_that_is_misspelt(document):
    asked = [where for where in keys(document) if where not in {("apiVersion",), ("kind",)}]
    assert len(asked) > 2
    taken = [where for where in asked if not refused(misspelt(document, where), VERSIONS[-1])]
    assert taken == []


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("replicas",), "two"),
        (("template", "spec", "terminationGracePeriodSeconds"), "30s"),
        (("template", "spec", "containers"), {}),
        (("template", "spec", "containers", 0, "env", 2, "value"), 8080),
        (("template", "spec", "securityContext", "runAsNonRoot"), "yes"),
    ],
)
def test_kubernetes_refuses_a_value_of_another_type(where, value):
    changed = copy.deepcopy(DEPLOYMENT)
    parent = changed["spec"]
    for step in where[:-1]:
        parent = parent[step]
    assert parent[where[-1]] != value
    parent[where[-1]] = value
    assert refused(changed, VERSIONS[-1])


# By schema: compose


def refused_by_compose(folder: Path, documents: Mapping[str, Json]) -> set[str]:
    """The names of the documents that the Compose specification refuses."""
    for name, document in documents.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(document))
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--output-format", "json"]
        + ["--builtin-schema", "vendor.compose-spec"]
        + [str(folder / f"{name}.yml") for name in documents],
        capture_output=True,
        check=False,
    )
    said = json.loads(checked.stdout)
    assert said.get("parse_errors", []) == []
    return {Path(error["filename"]).stem for error in said.get("errors", [])}


def test_compose_accepts_the_file(tmp_path):
    assert refused_by_compose(tmp_path, {"as it is": COMPOSE}) == set()


def test_compose_refuses_any_key_that_is_misspelt(tmp_path):
    asked = {"-".join(map(str, where)): misspelt(COMPOSE, where) for where in keys(COMPOSE)}
    asked.pop("volumes-ledger")  # a name of its own
    assert len(asked) > 20
    assert asked.keys() - refused_by_compose(tmp_path, asked) == set()


def test_compose_refuses_a_value_of_another_type(tmp_path):
    changed = copy.deepcopy(COMPOSE)
    changed["services"]["bot"]["read_only"] = ["true"]
    assert refused_by_compose(tmp_path, {"changed": changed}) == {"changed"}


# The names of the settings


def secret_settings() -> set[str]:
    """The variables that `bot.config` keeps secret."""
    return {form.variable for form in config.FORMS.values() if form.is_secret}


def environment_of_the_pod() -> dict[str, str]:
    """The container's variables, with the example's blanks for those from the Secret."""
    given = dict(SECRET["stringData"])
    for variable in CONTAINER["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        given[variable["name"]] = (
            variable["value"] if reference is None else SECRET["stringData"][reference["key"]]
        )
    return given


def test_every_variable_is_a_setting():
    named = {*environment_of_the_pod(), *SERVICE["environment"]}
    assert named - set(config.VARIABLES) == set()


def test_a_secret_comes_from_the_secret_and_nothing_else_does():
    assert {"SLACK_BOT_TOKEN", "LEDGER_URL", "SLACK_SIGNING_SECRET"} <= secret_settings()
    assert SECRET["stringData"].keys() <= secret_settings() | {"DATABASE_URL"}
    plain = {each["name"] for each in CONTAINER["env"] if "value" in each}
    assert plain & (secret_settings() | {"DATABASE_URL"}) == set()
    assert SECRET["metadata"]["name"] == CONTAINER["envFrom"][0]["secretRef"]["name"]


def test_the_database_urls_are_secrets():
    settings = config.load(FILLED_IN)
    assert all(isinstance(url, Secret) for url in settings.clusters.values())


def test_the_example_holds_no_secret_and_starts_nothing():
    assert set(SECRET["stringData"].values()) == {""}
    with pytest.raises(SettingsError) as caught:
        config.load(environment_of_the_pod())
    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert named == ["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "DATABASE_URL"]


def test_the_secret_filled_in_is_enough_and_lets_nobody_kill():
    settings = config.load(environment_of_the_pod() | FILLED_IN)
    assert SECRET["stringData"].keys() == FILLED_IN.keys()
    assert not settings.rights.is_set(Right.KILL)
    assert settings.health_port is not None


def test_replicas_share_a_ledger_or_do_not_start():
    """The image's own LEDGER_URL, a file, is always replaced."""
    (ledger,) = (each for each in CONTAINER["env"] if each["name"] == "LEDGER_URL")
    assert ledger["valueFrom"]["secretKeyRef"] == {
        "name": SECRET["metadata"]["name"],
        "key": "LEDGER_URL",
    }
    assert "volumes" not in POD


# The image


def dockerfile(instruction: str) -> str:
    text = (ROOT / "Dockerfile").read_text()
    (argument,) = re.findall(rf"^{instruction} (.+)$", text, re.MULTILINE)
    return argument


def test_the_image_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name, _, tag = CONTAINER["image"].rpartition("/")[2].partition(":")
    assert (name, tag) == (project["name"], bot.__version__)
    assert SERVICE["image"] == name


def test_the_pod_runs_as_the_images_user():
    security = POD["securityContext"]
    assert security["runAsNonRoot"] is True
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == dockerfile("USER")
    # The compose file leaves this to the image.
    assert "user" not in SERVICE
    # Neither overrides the image's command, whose process is the bot itself.
    assert not {"command", "args"} & CONTAINER.keys()
    assert not {"command", "entrypoint"} & SERVICE.keys()


def test_the_compose_file_keeps_the_ledger_where_the_image_does():
    (volume,) = SERVICE["volumes"]
    name, _, place = volume.partition(":")
    assert name in COMPOSE["volumes"]
    assert dockerfile("VOLUME") == place
    assert "LEDGER_URL" not in SERVICE["environment"]


def test_compose_file_names_existing_files():
    assert (DEPLOY / SERVICE["build"] / "Dockerfile").is_file()
    (settings,) = SERVICE["env_file"]
    assert (DEPLOY / settings["path"]).resolve().parent == ROOT
    assert settings["path"].endswith("/.env")
    assert settings["format"] == "raw"


# The unit for systemd


UNIT = configparser.RawConfigParser(strict=False)
UNIT.optionxform = str  # type: ignore[assignment,method-assign]
UNIT.read(DEPLOY / "pg-sessions-bot.service")
RUN = UNIT["Service"]


def test_unit_starts_the_program_of_the_wheel():
    (name,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    program = Path(RUN["ExecStart"])
    assert program.name == name
    assert f"python3 -m venv {program.parents[1]}\n" in (ROOT / "docs/install.md").read_text()
    assert RUN["RestartPreventExitStatus"] == str(EX_SETTINGS)


def test_unit_keeps_the_ledger_where_its_user_may_write():
    name, _, url = RUN["Environment"].partition("=")
    settings = config.load(FILLED_IN | {name: url})
    assert settings.ledger_url.revealed == f"sqlite:///{RUN['WorkingDirectory']}/ledger.db"
    assert RUN["WorkingDirectory"] == f"/var/lib/{RUN['StateDirectory']}"
    restricted = ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome")
    assert [RUN[name] for name in restricted] == ["yes"] * 4
    assert (RUN["CapabilityBoundingSet"], RUN["ProtectSystem"]) == ("", "strict")


# Health


def probes() -> dict[str, Json]:
    return {name: probe for name, probe in CONTAINER.items() if name.endswith("Probe")}


def test_the_probes_ask_the_health_port_for_what_it_serves():
    (port,) = CONTAINER["ports"]
    assert environment_of_the_pod()["HEALTH_PORT"] == str(port["containerPort"])
    assert {name: probe["httpGet"] for name, probe in probes().items()} == {
        "startupProbe": {"path": "/healthz", "port": port["name"]},
        "livenessProbe": {"path": "/healthz", "port": port["name"]},
        "readinessProbe": {"path": "/readyz", "port": port["name"]},
    }


async def test_the_health_port_serves_the_probes_paths():
    port = free_port()

    async def yes() -> bool:
        return True

    server = health.HealthServer(port, {"it": yes}, lambda: b"")
    await server.open()
    try:
        async with aiohttp.ClientSession() as session:
            for path in {probe["httpGet"]["path"] for probe in probes().values()}:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    assert answer.status == 200
    finally:
        await server.close()


def test_probe_timeout_exceeds_the_answers_limit():
    assert all(probe["timeoutSeconds"] > health.CHECK_TIMEOUT for probe in probes().values())


def test_startup_probe_allows_for_slow_slack_and_servers():
    probe = CONTAINER["startupProbe"]
    # Migrate, and open each held connection; all clusters at once; both tokens.
    ledger = sql.START_LIMIT + PostgresStore.size * sql.TIME_LIMIT
    longest = ledger + cluster.CONNECT_TIMEOUT + 2 * app.START_TIMEOUT
    assert probe["periodSeconds"] * probe["failureThreshold"] > longest


def test_the_compose_file_leaves_the_health_check_to_the_image():
    assert "HEALTH_PORT" in dockerfile("HEALTHCHECK")
    assert SERVICE["environment"]["HEALTH_PORT"].isdigit()
    assert "healthcheck" not in SERVICE


# The end


def test_shutdown_allows_for_the_drain():
    """The health port finishes its answers, Slack's side drains, the ledger is written."""
    longest = (
        health.CHECK_TIMEOUT
        + app.DISCONNECT_WITHIN
        + app.DRAIN_WITHIN
        + background.LAST_WORDS
        + app.SETTLE_WITHIN
    )
    assert longest <= 20.0  # as the comments say
    assert POD["terminationGracePeriodSeconds"] >= longest + 5
    grace = re.fullmatch(r"(\d+)s", SERVICE["stop_grace_period"])
    assert grace is not None
    assert timedelta(seconds=int(grace[1])) >= timedelta(seconds=longest + 5)
    assert int(RUN["TimeoutStopSec"]) >= longest + 5


# Many replicas


def test_two_replicas_of_which_one_is_always_up():
    spec = DEPLOYMENT["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    assert 0 < BUDGET["spec"]["minAvailable"] < spec["replicas"]
    assert BUDGET["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_every_selector_finds_the_replicas():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    selectors = [
        DEPLOYMENT["spec"]["selector"],
        BUDGET["spec"]["selector"],
        *(each["labelSelector"] for each in POD["topologySpreadConstraints"]),
    ]
    assert len(selectors) == 4
    assert all(selector == {"matchLabels": labels} for selector in selectors)


def test_replicas_are_spread_over_nodes_and_zones():
    assert {each["topologyKey"] for each in POD["topologySpreadConstraints"]} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }


# No privileges


def test_the_pod_has_no_privileges():
    assert POD["automountServiceAccountToken"] is False
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    shared_with_the_node = {"hostNetwork", "hostPID", "hostIPC", "volumes", "serviceAccountName"}
    assert not shared_with_the_node & POD.keys()
    assert "hostPort" not in CONTAINER["ports"][0]


def test_services_of_the_namespace_set_no_variables():
    """Kubernetes would give each pod DATABASE_URL_PORT for a Service called `database-url`."""
    linked = {"DATABASE_URL_PORT": "tcp://10.0.0.1:80", "DATABASE_URL_SERVICE_HOST": "10.0.0.1"}
    with pytest.raises(SettingsError):
        config.load(FILLED_IN | linked)
    assert POD["enableServiceLinks"] is False


def test_the_compose_service_has_no_privileges():
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "ports", "network_mode", "pid"} & SERVICE.keys()


def test_resources_are_requested():
    resources = CONTAINER["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert resources["limits"].keys() == {"memory"}
    assert SERVICE["deploy"]["resources"]["limits"].keys() == {"memory", "pids"}
