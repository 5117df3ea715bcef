"""The Helm chart in deploy/helm: rendered by Helm itself, it agrees with the plain manifest and the
code. Without `make .helm` these tests skip; with `CI` set they fail.
"""

import functools
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

import bot
from bot import config
from bot.domain.people import Right
from tests.unit.test_deploy import CONTAINER, FILLED_IN, POD, VERSIONS, secret_settings
from tests.unit.test_deploy import DEPLOYMENT as PLAIN

Rendered = dict[str, dict[str, Any]]
"""The objects by their kind."""

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/pg-sessions-bot"
HELM = ROOT / ".helm/helm/helm"
ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
SQLITE, POSTGRESQL, HTTP, SECRET = (
    CHART / "ci" / f"{name}-values.yaml" for name in ("sqlite", "postgresql", "http", "secret")
)

by_case = pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)


@functools.cache
def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not HELM.exists():
        assert not os.environ.get("CI"), "make .helm installs Helm"
        pytest.skip("Helm is missing; make .helm installs it")
    # Without the home of somebody who may have configured it.
    environment = {"HOME": "/nonexistent", "PATH": os.environ["PATH"]}
    command = [HELM, *arguments]
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"Helm, as the package has it, doesn't run here: {error}")


def rendered(*arguments: str | Path) -> Rendered:
    ran = helm("template", "night", CHART, *arguments)
    assert ran.returncode == 0, ran.stderr
    objects = list(yaml.safe_load_all(ran.stdout))
    by_kind = {each["kind"]: each for each in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def refused(*arguments: str | Path) -> str:
    ran = helm("template", "night", CHART, *arguments)
    assert ran.returncode != 0
    return ran.stderr


def pod(objects: Rendered) -> dict[str, Any]:
    return objects["Deployment"]["spec"]["template"]["spec"]


def container(objects: Rendered) -> dict[str, Any]:
    (only,) = pod(objects)["containers"]
    return only


def environment(objects: Rendered, secret: Mapping[str, str]) -> dict[str, str]:
    """The container's variables, those from the Secret filled in."""
    return {
        each["name"]: each["value"]
        if "value" in each
        else secret[each["valueFrom"]["secretKeyRef"]["key"]]
        for each in container(objects)["env"]
    }


# Helm and Kubernetes take it


@pytest.mark.parametrize("values", [(), *(("--values", case) for case in CASES)])
def test_helm_lint_finds_nothing(values):
    linted = helm("lint", "--strict", *values, CHART)
    assert linted.returncode == 0, linted.stdout


def test_helm_lint_finds_a_mistake(tmp_path):
    broken = shutil.copytree(CHART, tmp_path / CHART.name)
    (broken / "templates/service.yaml").write_text("{{ .Values.nothing.at.all }}")
    assert helm("lint", "--strict", broken).returncode != 0


@by_case
def test_kubernetes_accepts_what_it_renders(case):
    for version in (VERSIONS[0], VERSIONS[-1]):
        for each in rendered("--values", case).values():
            kubernetes_validate.validate(each, version, strict=True)
    assert ABOUT["kubeVersion"] == f">={VERSIONS[0]}-0"


def test_chart_is_of_this_version():
    assert ABOUT["version"] == ABOUT["appVersion"] == bot.__version__


# Values


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "image.repository: name the image"),
        (("--set", "image.repository=i"), "existingSecret: name the Secret that holds SLACK_BOT"),
        (("-f", SECRET, "--set", "existingSecret=s"), "existingSecret and secret: set one of them"),
        (
            ("-f", SQLITE, "--set", "replicaCount=2"),
            "replicas can't share a ledger in a file",
        ),
        (
            ("-f", HTTP, "--set", "http.enabled=false"),
            "http.ingress.enabled: an Ingress",
        ),
        (("-f", HTTP, "--set", "http.ingress.host="), "http.ingress.host: name the host"),
        (("-f", SQLITE, "--set", "replicas=2"), "'replicas' not allowed"),
        (("-f", SQLITE, "--set", "ledger.kind=mysql"), "at '/ledger/kind'"),
        (("-f", SQLITE, "--set", "image.digest=latest"), "at '/image/digest'"),
    ],
)
def test_wrong_values_are_refused_by_name(arguments, words):
    assert words in refused(*arguments)


def test_secrets_are_refused_among_the_settings():
    names = sorted({*secret_settings(), "DATABASE_URL", "DATABASE_URL_PROD"})

    def each(of: str) -> str:
        return ",".join(f"{of}.{name}=x" for name in names)

    said = refused("-f", SQLITE, "--set", each("settings"))
    assert re.findall(r"settings\.(\w+): may hold a secret; put it into the Secret", said) == names
    assert rendered("-f", SECRET, "--set", each("secret"))


def test_only_secrets_go_into_the_secret():
    said = refused("-f", SECRET, "--set", "secret.PG_KILL_ALLOWLIST=U1")
    assert "secret.PG_KILL_ALLOWLIST: is no secret; put it under settings" in said


@pytest.mark.parametrize("name", ["HEALTH_PORT", "PORT", "SECRETS_DIR"])
def test_what_the_chart_sets_is_refused_among_the_settings(name):
    said = refused("-f", SQLITE, "--set", f"settings.{name}=1")
    assert f"settings.{name}: is set by the chart; leave it out" in said


def test_every_value_is_described_and_checked():
    """Each key has a comment above it, and the schema holds every key."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    # Those that hold others are described by them; Kubernetes describes its own.
    parents = {"image", "ledger", "http", "service", "ingress"}
    quoted = {"requests", "limits", "cpu", "memory"}
    for above, line in itertools.pairwise(lines):
        if (found := re.match(r" *(\w+):", line)) and found[1] not in parents | quoted:
            assert above.lstrip().startswith("# "), line

    def check(values: dict[str, Any], schema: dict[str, Any]) -> None:
        if "properties" in schema:
            assert schema["additionalProperties"] is False
            assert values.keys() == schema["properties"].keys() - {"global"}
            for name, value in values.items():
                if isinstance(value, dict):
                    check(value, schema["properties"][name])

    check(VALUES, json.loads((CHART / "values.schema.json").read_text()))


def test_values_hold_no_secret_and_let_nobody_kill():
    assert (VALUES["secret"], VALUES["existingSecret"]) == ({}, "")
    assert VALUES["settings"] == {"PG_KILL_ALLOWLIST": ""}
    assert set(re.findall(r"\b(?:xox|xapp)\S*", (CHART / "values.yaml").read_text())) == set()


# The settings


@by_case
def test_every_variable_is_a_setting(case):
    given = environment(rendered("--values", case), FILLED_IN)
    assert {name.removesuffix("_PROD") for name in given} - {*config.VARIABLES} == set()
    prod = {"DATABASE_URL_PROD": "postgresql://prod/postgres"}
    settings = config.load(prod | FILLED_IN | given)
    assert settings.health_port is not None
    assert settings.rights.is_set(Right.KILL) is bool(given["PG_KILL_ALLOWLIST"])


@by_case
def test_secrets_are_mounted_where_the_bot_reads_them(case):
    objects = rendered("--values", case)
    name = objects["Secret"]["metadata"]["name"] if case == SECRET else "pg-sessions-bot"
    (volume,) = (each for each in pod(objects)["volumes"] if each["name"] == "secrets")
    (mount,) = (each for each in container(objects)["volumeMounts"] if each["name"] == "secrets")
    assert volume["secret"] == {"secretName": name, "defaultMode": 0o440}
    assert mount["mountPath"] == environment(objects, FILLED_IN)["SECRETS_DIR"]
    assert mount["readOnly"] is True
    plain = {each["name"] for each in container(objects)["env"] if "value" in each}
    assert plain & secret_settings() <= {"LEDGER_URL"}
    assert "envFrom" not in container(objects)


def test_chart_makes_a_secret_of_the_given_values():
    objects = rendered("--values", SECRET)
    assert objects["Secret"]["stringData"] == yaml.safe_load(SECRET.read_text())["secret"]
    changed = rendered("--values", SECRET, "--set", "secret.SLACK_BOT_TOKEN=xoxb-2")
    both = [each["Deployment"]["spec"]["template"]["metadata"] for each in (objects, changed)]
    assert both[0]["annotations"] != both[1]["annotations"]  # so the pods start anew


# The ledger


def test_ledger_in_a_file_has_one_bot_and_a_volume():
    objects = rendered("--values", SQLITE)
    spec = objects["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert "PodDisruptionBudget" not in objects
    mounts = {each["name"]: each["mountPath"] for each in container(objects)["volumeMounts"]}
    url = environment(objects, {})["LEDGER_URL"]
    assert url == f"sqlite:///{mounts['ledger']}/ledger.db"
    assert mounts["tmp"] == "/tmp"
    claim = objects["PersistentVolumeClaim"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (volume,) = (each for each in pod(objects)["volumes"] if each["name"] == "ledger")
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}


def test_ledger_can_be_on_a_claim_that_exists():
    objects = rendered("--values", SECRET)
    assert "PersistentVolumeClaim" not in objects
    (volume,) = (each for each in pod(objects)["volumes"] if each["name"] == "ledger")
    assert volume["persistentVolumeClaim"] == {"claimName": "kept"}


def test_replicas_share_a_ledger_and_are_as_in_the_plain_manifest():
    objects = rendered("--values", POSTGRESQL)
    spec = objects["Deployment"]["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"] == PLAIN["spec"]["strategy"]
    assert "PersistentVolumeClaim" not in objects
    (ledger,) = (each for each in container(objects)["env"] if each["name"] == "LEDGER_URL")
    assert ledger["valueFrom"] == {"secretKeyRef": {"name": "pg-sessions-bot", "key": "LEDGER_URL"}}
    labels = spec["template"]["metadata"]["labels"]
    selectors = [
        spec["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"],
        *(each["labelSelector"] for each in pod(objects)["topologySpreadConstraints"]),
    ]
    assert selectors == [{"matchLabels": labels}] * 4


# The pod


@by_case
def test_pod_is_as_restricted_as_the_plain_manifests(case):
    objects = rendered("--values", case)
    same = ("automountServiceAccountToken", "enableServiceLinks")
    assert [pod(objects)[name] for name in same] == [POD[name] for name in same]
    group = {"fsGroup": POD["securityContext"]["runAsGroup"]}
    assert pod(objects)["securityContext"] == {
        **POD["securityContext"],
        **group,
        "fsGroupChangePolicy": "OnRootMismatch",
    }
    own = container(objects)
    for name in ("securityContext", "startupProbe", "livenessProbe", "readinessProbe", "resources"):
        assert own[name] == CONTAINER[name]
    assert own["ports"][0] == CONTAINER["ports"][0]
    assert environment(objects, FILLED_IN)["HEALTH_PORT"] == str(own["ports"][0]["containerPort"])
    assert not {"command", "args"} & own.keys()
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(objects).keys()


@by_case
def test_chart_asks_for_nothing_more_of_the_cluster(case):
    kinds = set(rendered("--values", case))
    assert kinds <= {
        *("Deployment", "Secret", "PersistentVolumeClaim", "PodDisruptionBudget"),
        *(("Service", "Ingress") if case == HTTP else ()),
    }


@by_case
def test_pod_that_gets_requests_goes_on_until_it_gets_none(case):
    objects = rendered("--values", case)
    seconds = pod(objects)["terminationGracePeriodSeconds"]
    if case != HTTP:
        assert "lifecycle" not in container(objects)
        assert seconds == POD["terminationGracePeriodSeconds"]
        return
    (command,) = container(objects)["lifecycle"]["preStop"].values()
    program, pause = command["command"]
    assert program == "sleep"
    assert seconds == POD["terminationGracePeriodSeconds"] + int(pause)


def test_http_mode_leads_from_the_ingress_to_the_bot():
    objects = rendered("--values", HTTP)
    (rule,) = objects["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"]) == ("bot.example.com", "/slack/events")
    (port,) = objects["Service"]["spec"]["ports"]
    assert path["backend"]["service"] == {
        "name": objects["Service"]["metadata"]["name"],
        "port": {"name": port["name"]},
    }
    listening = {each["name"]: each["containerPort"] for each in container(objects)["ports"]}
    assert str(listening[port["targetPort"]]) == environment(objects, FILLED_IN)["PORT"]
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"] == labels
    assert container(objects)["image"] == "registry.example.com/pg-sessions-bot:1.2.3"
