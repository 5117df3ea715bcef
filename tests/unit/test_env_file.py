"""What `.env` may contain, and what is reported instead of being ignored."""

import os
from pathlib import Path

import pytest

from bot import config, env_file
from bot.errors import SettingsError


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def read(path: Path) -> dict[str, str]:
    found, problems = env_file.read(path, is_setting=config.is_setting)
    assert problems == ()
    return found


def refusal(path: Path) -> str:
    """What is wrong with the file as a whole, after its name."""
    with pytest.raises(SettingsError) as caught:
        env_file.read(path, is_setting=config.is_setting)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    return problem.removeprefix(f"{path}: ")


def told(path: Path) -> list[str]:
    """What is wrong with single lines."""
    _, problems = env_file.read(path, is_setting=config.is_setting)
    assert all(problem.startswith(f"{path}: ") for problem in problems)
    return [problem.removeprefix(f"{path}: ") for problem in problems]


LINES = (
    "# ours\nPROTECTED_ROLES='a,b' # c\n\nexport PORT = 3000\nLOG_LEVEL\nPROTECTED_APPLICATIONS=ü\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_utf_8_is_read_with_and_without_bom(env: Path, encoding: str, end: str) -> None:
    env.write_bytes(LINES.replace("\n", end).encode(encoding))
    assert read(env) == {"PROTECTED_ROLES": "a,b", "PORT": "3000", "PROTECTED_APPLICATIONS": "ü"}


def test_missing_file_has_no_variables(env: Path) -> None:
    assert read(env) == {}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named(env: Path, encoding: str) -> None:
    """What `>` in PowerShell writes."""
    env.write_bytes(LINES.encode(encoding))
    assert refusal(env) == "is UTF-16, not UTF-8; save it as UTF-8"


def test_latin_1_is_named_with_its_line(env: Path) -> None:
    env.write_bytes(LINES.encode("latin-1"))
    assert refusal(env) == "is not UTF-8 (line 6), but Latin-1 or the like; save it as UTF-8"


def test_folder_or_dangling_link_is_an_error(env: Path) -> None:
    env.symlink_to(env.parent / "elsewhere")
    assert refusal(env) == "is a link to a file that does not exist"
    env.unlink()
    env.mkdir()
    assert refusal(env) == "is a folder, not a file"


def test_unreadable_file_is_named(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env.write_text(LINES)
    env.chmod(0)
    if os.access(env, os.R_OK):  # root may read everything

        def closed(_: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", closed)
    assert refusal(env) == "can't be read (Permission denied)"


@pytest.mark.parametrize(
    "line",
    [
        "PROTECTED_ROLES admin",
        "PROTECTED_ROLES: admin",
        "PROTECTED_ROLES:admin",
        'PROTECTED_ROLES="admin',
        'PROTECTED_ROLES="admin",batch',
        "set PROTECTED_ROLES=admin",
        "=admin",
    ],
)
def test_invalid_line_is_reported_by_number_and_not_shown(env: Path, line: str) -> None:
    env.write_text(f"PORT=1\n\n  \n{line}\nLOG_LEVEL=INFO\n")
    assert told(env) == ["line 4 can't be read; write NAME=value"]


def test_setting_set_twice_is_reported(env: Path) -> None:
    """The second line would undo what the first one protects."""
    env.write_text("PROTECTED_ROLES=a\nPATH=1\nPATH=2\nDATABASE_URL_X=a\nPROTECTED_ROLES=b\n")
    assert told(env) == ["line 5 sets PROTECTED_ROLES again, after line 1"]
    env.write_text("DATABASE_URL_X=a\n\nDATABASE_URL_X=b\n")
    assert told(env) == ["line 3 sets DATABASE_URL_X again, after line 1"]


def test_all_invalid_lines_are_reported_and_the_others_read(env: Path) -> None:
    env.write_text("a b\nPORT=1\nc d\n")
    found, problems = env_file.read(env, is_setting=config.is_setting)
    assert found == {"PORT": "1"}
    assert len(problems) == 2
