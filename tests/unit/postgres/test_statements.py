"""Rules for all of the bot's SQL, and for its connections."""

import ast
from pathlib import Path

import pytest

import bot
from bot.ledger import migrations, postgres_store, schema, sqlite_store, store
from bot.postgres import bounded, cluster, queries, rows, statements, where

BOT = Path(bot.__file__).parent
FILES = sorted((BOT / "postgres/queries").glob("*.sql"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_sql_is_ascii(path: Path) -> None:
    """Other characters may not exist in a server's database encoding."""
    assert path.read_bytes().isascii()
    assert queries.get(path.stem).isascii()


@pytest.mark.parametrize(
    "module",
    [
        bounded,
        cluster,
        rows,
        statements,
        where,
        migrations,
        postgres_store,
        schema,
        sqlite_store,
        store,
    ],
)
def test_sql_in_code_is_ascii(module: object) -> None:
    """All strings in the modules with SQL, except messages for people."""
    path = Path(str(getattr(module, "__file__", "")))
    texts = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert texts
    found = [text for text in texts if "select" in text.lower() or "a." in text]
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [text for text in found if not text.isascii() and text not in docstrings] == []


def test_every_connection_is_opened_by_the_driver_module() -> None:
    """Only that module sets what a session inherits, from the first packet on."""
    opening = [
        path.relative_to(BOT).as_posix()
        for path in BOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("asyncpg", "connect"), ("asyncpg", "create_pool")}
    ]
    assert opening == ["driver/__init__.py"]
