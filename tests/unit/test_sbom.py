"""`make sbom`: the bill of materials fits its schema and says what the lock says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from bot import __version__

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements/run.txt").read_text()
ENTRIES = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]


def printed() -> str:
    return subprocess.run(
        [sys.executable, "-m", "scripts.sbom", "requirements/run.txt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def text() -> str:
    return printed()


@pytest.fixture(scope="module")
def bill(text: str) -> dict[str, Any]:
    return json.loads(text)


def problem(text: str) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


def test_bill_of_materials_fits_its_schema(text, bill):
    assert problem(text) is None
    assert problem(json.dumps(bill | {"components": [{"name": "of no type"}]})) is not None


def test_bill_of_materials_is_the_lock(bill):
    named = {(each["name"], each["version"]) for each in bill["components"]}
    assert named == set(re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE))
    for entry, each in zip(ENTRIES, bill["components"], strict=True):
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        assert {one["alg"] for one in each["hashes"]} == {"SHA-256"}
        assert {one["content"] for one in each["hashes"]} == set(
            re.findall(r"sha256:(\w{64})", entry)
        )


def test_bill_of_materials_is_of_this_version(bill):
    of = bill["metadata"]["component"]
    assert (of["name"], of["version"]) == ("pg-sessions-bot", __version__)


def test_every_package_is_there_because_the_bot_needs_it(bill):
    needs = {each["ref"]: each.get("dependsOn", ()) for each in bill["dependencies"]}
    assert "yarl" in needs["aiohttp"]
    reached, waiting = set(), ["pg-sessions-bot"]
    while waiting:
        reached.add(one := waiting.pop())
        waiting += set(needs[one]) - reached
    assert reached == {"pg-sessions-bot", *(each["bom-ref"] for each in bill["components"])}


def test_bill_of_materials_names_no_registry_and_no_moment(text, bill):
    assert re.findall(r"\w+://[^\"]+", text) == [bill["$schema"]]
    assert printed() == text
