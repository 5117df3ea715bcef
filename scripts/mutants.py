"""Break the rules, one place at a time, and check that a test fails: `make mutants`.

    python scripts/mutants.py [FILE...]

mutmut breaks the code in functions. It leaves alone what runs at import (constants, patterns,
words that the ledger stores) and what is decorated (properties). This script applies mutmut's
operators there too, with a process for each mutant. Then it compares the surviving mutants with
`tests/mutants.toml`, which gives a reason for each. The exit status is 1 if a survivor is missing
there, or if something there doesn't survive.

The SQL has mutants of its own, in `tests/integration/test_mutated_guards.py`.
"""

# ruff: noqa: INP001 - a script
# ruff: noqa: T201 - it reports on the terminal

import argparse
import ast
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir, contextmanager
from difflib import unified_diff
from pathlib import Path
from queue import SimpleQueue

import libcst as cst
from libcst.metadata import MetadataWrapper
from mutmut.mutation import file_mutation
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key
from pattern_mutants import pattern_mutants

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
from tests.mutants import Mutant, keys, living  # noqa: E402

LEDGER = (
    "tests/integration/ledger/test_record.py::TestTheRecord",
    "tests/integration/ledger/test_record.py::TestHistory",
    *(
        f"tests/integration/ledger/test_claims.py::{name}"
        for name in ("TestClaims", "TestLeases", "TestSecondLooks", "TestTheClockSetBack")
    ),
    "tests/integration/ledger/test_schema.py::TestAnotherVersion",
)

ALERTS = (
    "tests/unit/domain/test_alert_steps.py",
    "tests/unit/domain/test_alerts.py",
    "--deselect=tests/unit/domain/test_alerts.py::test_day_of_incidents_is_told_completely_and_once",
)
"""Without the one that takes seconds."""

SAMPLES = tuple(
    f"tests/unit/domain/test_samples.py::{name}"
    for name in (
        "test_packing_loses_nothing",
        "test_names_are_not_packed_with_each_sample",
        "test_sample_without_an_answer_knows_nothing_else",
        "test_sample_compares_and_prints_only_its_figures",
        "test_seen_is_diagnosed_as_a_whole",
        "test_a_past_look_has_the_worst_twenty_and_the_counts_of_all",
        "test_figures_are_those_of_the_look",
    )
)

PARTS_OF_THE_PROJECT = ("bot", "tests", "workspace")

FILES: dict[str, tuple[str, ...]] = {
    "bot/domain/people.py": ("tests/unit/domain/test_people.py",),
    "bot/domain/protection.py": ("tests/unit/domain/test_protection.py",),
    "bot/domain/kills.py": ("tests/unit/domain/test_kills.py",),
    "bot/domain/redaction.py": (
        "tests/unit/domain/test_redaction.py",
        "tests/unit/domain/test_query_tags.py",
    ),
    "bot/domain/filters.py": ("tests/unit/domain/test_filters.py",),
    "bot/domain/steps.py": ("tests/unit/domain/test_steps.py",),
    "bot/domain/alerts.py": ALERTS,
    "bot/domain/tracks.py": ("tests/unit/domain/test_tracks.py",),
    "bot/domain/boards.py": ("tests/unit/domain/test_boards.py",),
    "bot/domain/samples.py": SAMPLES,
    "bot/domain/matching.py": ("tests/unit/domain/test_matching.py",),
    "bot/grammar/watching.py": ("tests/unit/grammar",),
    "bot/grammar/parser.py": ("tests/unit/grammar",),
    "bot/grammar/parts.py": ("tests/unit/grammar",),
    "bot/grammar/requests.py": ("tests/unit/grammar",),
    "bot/grammar/terms.py": ("tests/unit/grammar",),
    "bot/grammar/suggest.py": (
        "tests/unit/grammar",
        "tests/unit/domain/test_filters.py",
    ),
    "bot/grammar/tokens.py": ("tests/unit/grammar",),
    "bot/grammar/values.py": ("tests/unit/grammar",),
    "bot/postgres/where.py": ("tests/integration/test_guards.py",),
    "bot/postgres/cluster.py": ("tests/integration/test_signal.py",),
    "bot/postgres/statements.py": (
        "tests/integration/test_guards.py",
        "tests/integration/test_signal.py",
    ),
    "bot/ledger/sql.py": LEDGER,
    "bot/ledger/postgres_store.py": LEDGER,
    "bot/ledger/sqlite_store.py": LEDGER,
    "bot/ledger/store.py": LEDGER,
}
"""What is broken, and the tests that must notice."""

PARTS: dict[str, tuple[str, ...]] = {
    "bot/domain/samples.py": ("Seen.*", "Sample.*", "_pack", "_unpack"),
    "bot/postgres/where.py": (
        *("Parameters.add", "like", "where", "_one", "_text"),
        *("_SINCE", "_OID", "_TEXT"),
    ),
    "bot/postgres/cluster.py": ("PostgresCluster.signal", "_reason"),
    "bot/postgres/statements.py": (
        *("signal_statement", "_match", "_transaction", "_same_transaction", "_FUNCTIONS"),
    ),
    "bot/ledger/sql.py": (
        *(
            f"SqlLedger.{name}"
            for name in (
                *("claim", "renew", "lapsed", "conclude", "dismiss", "posted"),
                *("amend", "unfollowed", "leave", "_take_over"),
            )
        ),
        *("_opened", "_claim", "_kill", "_changed"),
    ),
    "bot/ledger/postgres_store.py": ("*.clock",),
    "bot/ledger/sqlite_store.py": ("*.clock",),
    "bot/ledger/store.py": ("Store.after",),
}
"""For files that also do other things: the names that are broken, as globs."""

HOLD_SQL = frozenset(PARTS) - {"bot/domain/samples.py", "bot/ledger/sql.py"}
"""Files whose strings are SQL, in which capitals mean the same."""

TIME_LIMIT = 300
"""The most seconds for the tests of one mutant. A mutant that hangs them counts as noticed."""


def is_sql_in_capitals(one: Mutant) -> bool:
    """Whether the change only capitalizes SQL outside its quotes, which changes nothing."""
    return (
        one.place.partition(" ")[0] in HOLD_SQL
        and one.before.casefold() == one.after.casefold()
        and re.findall("'[^']*'", one.before) == re.findall("'[^']*'", one.after)
    )


def is_wanted(path: str, name: str) -> bool:
    """Whether to break this name in this file."""
    return any(fnmatch.fnmatch(name, glob) for glob in PARTS.get(path, ("*",)))


# --- code in functions


def by_mutmut(copy: Path, path: str) -> Iterator[tuple[Mutant, bool]]:
    """Have mutmut break a file's functions in a copy of the project; says which survived."""
    if not any(is_wanted(path, name) for name in _functions(path)):
        return  # mutmut would end with an error
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (copy / "pyproject.toml").write_text(project + _mutmut_settings(path), encoding="utf-8")
    shutil.rmtree(copy / "mutants", ignore_errors=True)
    run = subprocess.run(  # noqa: S603
        [*_MUTMUT, "run", "--max-children", str(_processes()), *_mutmut_names(path)],
        cwd=copy,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode:
        sys.exit(f"{run.stdout}\nmutmut ended with {run.returncode}")
    with chdir(copy):
        data = SourceFileMutationData(path=Path(path))
        data.load()
        for key, code in data.exit_code_by_key.items():
            function, owner = orig_function_and_class_names_from_key(key)
            name = f"{owner}.{function}" if owner else function
            status = status_by_exit_code[code]
            if status != "not checked" and is_wanted(path, name):
                diff = get_diff_for_mutant(key, path=path).splitlines()
                yield Mutant.of(f"{path} {name}", diff), status in {"survived", "no tests"}


def _functions(path: str) -> Iterator[str]:
    """The names of a file's functions and methods."""
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=owner, body=body):
                for inner in body:
                    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                        yield f"{owner}.{inner.name}"


_MUTMUT = (sys.executable, str(Path(__file__).with_name("mutmut_alone.py")))


def _mutmut_settings(path: str) -> str:
    # An array of strings looks the same in TOML and in JSON.
    return f"""
[tool.mutmut]
source_paths = ["bot"]
only_mutate = ["{path}"]
also_copy = {json.dumps([part for part in PARTS_OF_THE_PROJECT if part != "bot"])}
pytest_add_cli_args_test_selection = {json.dumps(FILES[path])}
"""


def _mutmut_names(path: str) -> list[str]:
    module = path.removesuffix(".py").replace("/", ".")
    # mutmut calls a function `x_name` and a method `xǁClassǁname`, followed by a number. Without
    # the number, a pattern finds the tests as well.
    return [f"{module}.x?{glob.replace('.', 'ǁ')}*" for glob in PARTS.get(path, ("*",))]


# --- code that mutmut does not break


class _Everything(file_mutation.MutationVisitor):
    """mutmut's operators, applied where mutmut doesn't apply them."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return not super()._skip_node_and_children(node)
        return isinstance(node, cst.Annotation | cst.Decorator)


def outside(path: str) -> Iterator[tuple[Mutant, str]]:
    """The mutants of code that runs at import, decorated code and patterns, with their texts."""
    code = (ROOT / path).read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = _Everything(mutation_operators, IgnoredCode(set(), set(), set()))
    module = wrapper.visit(visitor)
    changes = [(each.original_node, each.mutated_node) for each in visitor.mutations]
    for before, after in (*changes, *_patterns(module)):
        name = _name(module, before)
        changed = module.deep_replace(before, after)
        assert isinstance(changed, cst.Module)  # noqa: S101
        diff = unified_diff(code.splitlines(), changed.code.splitlines(), lineterm="", n=0)
        if is_wanted(path, name):
            yield Mutant.of(f"{path} {name}", diff), changed.code


def _patterns(module: cst.Module) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """The patterns passed to `re`, and every raw string that isn't a docstring."""
    passed = {
        node.args[0].value
        for node in _walk(module)
        if isinstance(node, cst.Call)
        and node.args
        and module.code_for_node(node.func).startswith("re.")
    }
    for found in _texts(module):
        text = module.code_for_node(found.with_changes(lpar=(), rpar=()))
        string = _RAW.match(text)
        if string and (string["raw"] or found in passed):
            head, pattern, tail = string.group("head", "pattern", "quote")
            for changed in pattern_mutants(pattern):
                after = cst.parse_expression(f"({head}{changed}{tail})")
                yield found, after.with_changes(lpar=found.lpar, rpar=found.rpar)


_RAW = re.compile(
    r"""(?P<head> f?(?P<raw>r?)f? (?P<quote>"{3}|["'])) (?P<pattern>.*) (?P=quote)""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)


def _texts(node: cst.CSTNode) -> Iterator[cst.BaseString]:
    """Every string that isn't a docstring. Strings that follow each other are one."""
    match node:
        case cst.BaseString():
            yield node
        case cst.Expr(value=cst.BaseString()):
            pass
        case _:
            for child in node.children:
                yield from _texts(child)


def _name(module: cst.Module, node: cst.CSTNode) -> str:
    """The place that a node is in: a function, a class's method or value, a constant."""
    for statement in module.body:
        if any(child is node for child in _walk(statement)):
            if not isinstance(statement, cst.ClassDef):
                return _assigned(statement)
            return f"{statement.name.value}." + next(
                _assigned(inner)
                for inner in statement.body.body
                if any(child is node for child in _walk(inner))
            )
    raise LookupError(node)


def _assigned(statement: cst.CSTNode) -> str:
    """The name that a statement assigns or defines; empty for a docstring."""
    for child in _walk(statement):
        match child:
            case cst.FunctionDef(name=name):
                return name.value
            case (
                cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))])
                | cst.AnnAssign(target=cst.Name(value=name))
            ):
                return str(name)
    return ""


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _walk(child)


def by_process(copies: Sequence[Path], path: str) -> Iterator[tuple[Mutant, bool]]:
    """Run the tests on a file's other mutants, in copies; says which mutants survived."""
    original = (ROOT / path).read_text(encoding="utf-8")
    free: SimpleQueue[tuple[Path, subprocess.Popen[str]]] = SimpleQueue()

    def lives(task: tuple[Mutant, str]) -> tuple[Mutant, bool]:
        one, text = task
        copy, tests = free.get()
        try:
            (copy / path).write_text(text, encoding="utf-8")
            return one, _pass(tests, limit)
        finally:
            (copy / path).write_text(original, encoding="utf-8")
            free.put((copy, tests))

    limit = TIME_LIMIT
    with ExitStack() as stack:
        for copy in copies:
            tests = stack.enter_context(_tests(copy, FILES[path]))
            began = time.monotonic()
            if not _pass(tests, TIME_LIMIT):
                sys.exit(f"{path}: its tests fail with nothing broken")
            limit = min(limit, 30 + round(10 * (time.monotonic() - began)))
            free.put((copy, tests))
        with ThreadPoolExecutor(len(copies)) as pool:
            yield from pool.map(lives, outside(path))


def _copy(folder: Path) -> Path:
    for part in PARTS_OF_THE_PROJECT:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@contextmanager
def _tests(copy: Path, tests: Iterable[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603
        [sys.executable, str(_TESTS_AGAIN), *tests],
        cwd=copy,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None  # noqa: S101
        process.stdin.close()


_TESTS_AGAIN = Path(__file__).with_name("tests_again.py")


def _pass(tests: subprocess.Popen[str], limit: int) -> bool:
    assert tests.stdin is not None  # noqa: S101
    assert tests.stdout is not None  # noqa: S101
    tests.stdin.write(f"{limit}\n")
    tests.stdin.flush()
    return int(tests.stdout.readline()) == 0


def _processes() -> int:
    return int(os.environ.get("PROCESSES", "0")) or os.cpu_count() or 1


def main() -> int:
    """Break, count, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("files", nargs="*", choices=[[], *FILES], metavar="FILE")
    paths = parser.parse_args().files or list(FILES)
    is_as_told = True
    with tempfile.TemporaryDirectory() as folder:
        copies = [_copy(Path(folder) / str(number)) for number in range(_processes())]
        for path in paths:
            results = [*by_mutmut(copies[0], path), *by_process(copies, path)]
            key = keys(one for one, _ in results)
            lived = {
                key[one]: one for one, lives in results if lives and not is_sql_in_capitals(one)
            }
            listed = {each for each in living() if each[0].startswith(f"{path} ")}
            print(f"{path}: {len(results)} mutants, {len(lived)} live", flush=True)
            for place, change in sorted(lived.keys() - listed):
                print(f"\nlives, and tests/mutants.toml doesn't have it:\n{lived[place, change]}")
                print(f'"{place}" = [{change!r}]\n', flush=True)
            for place, change in sorted(listed - lived.keys()):
                print(
                    f"\nis in tests/mutants.toml, and doesn't live:\n{place}: {change}\n",
                    flush=True,
                )
            is_as_told = is_as_told and lived.keys() == listed
    return 0 if is_as_told else 1


if __name__ == "__main__":
    sys.exit(main())
