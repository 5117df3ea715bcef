"""`SECRETS_DIR`: a folder of files that are named like settings."""

import os
from pathlib import Path

import pytest

from bot import config, secrets_dir

SECRET = "xoxb-top-secret"


def read(folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    return secrets_dir.read(folder, is_wanted=config.is_ours)


def test_a_file_is_a_setting_under_its_name_in_any_case(tmp_path):
    (tmp_path / "SLACK_BOT_TOKEN").write_text(f"{SECRET}\n")
    (tmp_path / "database_url_prod").write_text("\ufeffpostgresql://db/x\r\n")
    found, problems = read(tmp_path)
    assert found == {"SLACK_BOT_TOKEN": f"{SECRET}\n", "DATABASE_URL_PROD": "postgresql://db/x\r\n"}
    assert problems == ()


def test_what_kubernetes_mounts_beside_them_is_left_alone(tmp_path):
    """The files are links into a folder that is replaced as a whole."""
    data = tmp_path / "..2026_11_30"
    data.mkdir()
    (data / "LEDGER_URL").write_text("sqlite:///a.db")
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "LEDGER_URL").symlink_to("..data/LEDGER_URL")
    assert read(tmp_path) == ({"LEDGER_URL": "sqlite:///a.db"}, ())


def test_files_with_other_names_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "tls.key")  # opening it would block
    (tmp_path / "ca.crt").write_bytes(b"\xff")
    assert read(tmp_path) == ({}, ())


def test_misspelt_name_is_kept_to_be_reported(tmp_path):
    (tmp_path / "PROTECTED_ROLE").write_text("admin")
    assert read(tmp_path)[0] == {"PROTECTED_ROLE": "admin"}


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.write_bytes(b"\xfftop-secret"), "is not UTF-8"),
        (lambda path: path.mkdir(), "isn't a file"),
        (os.mkfifo, "isn't a file"),
        (lambda path: path.symlink_to("nowhere"), "can't be read (No such file or directory)"),
        (lambda path: path.write_text("x" * 65_537), "has more than 65536 bytes"),
    ],
)
def test_invalid_secret_file_is_reported_without_its_content(tmp_path, make, problem):
    make(tmp_path / "slack_bot_token")
    found, problems = read(tmp_path)
    assert found == {}
    assert problems == (f"SLACK_BOT_TOKEN: its file in SECRETS_DIR {problem}",)


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("port", "PORT"):
        (tmp_path / name).write_text("1")
    assert read(tmp_path)[1] == ("PORT: SECRETS_DIR has two files with this name",)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    assert read(tmp_path / "none") == ({}, ("SECRETS_DIR: there is no such folder",))
    assert read(tmp_path / "file") == ({}, ("SECRETS_DIR: is a file, not a folder",))


def test_a_variable_that_is_set_comes_before_a_file(tmp_path):
    secrets = {"PORT": "1", "LOG_LEVEL": "DEBUG", "PG_KILL_ALLOWLIST_PROD": "U1"}
    environ = {"PORT": "2", "LOG_LEVEL": " ", "PG_KILL_ALLOWLIST_PROD": "", "HOME": ""}
    assert config.beside(secrets, environ) == {
        "PORT": "2",
        "LOG_LEVEL": "DEBUG",  # blank counts as unset, as in a copied .env.example
        "PG_KILL_ALLOWLIST_PROD": "",  # and of one cluster's list as nobody
        "HOME": "",
    }
