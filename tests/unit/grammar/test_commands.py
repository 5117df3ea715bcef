"""What each command takes, and what a refusal says."""

import pytest

from bot.grammar.columns import ACTIVITY_COLUMNS, COLUMNS
from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import (
    KILL,
    MAX_LIMIT,
    MAX_PID,
    MAX_PIDS,
    MAX_REASON,
    MAX_TEXT,
    SESSIONS,
    HelpRequest,
    HistoryRequest,
    KillRequest,
    SessionsRequest,
    SortKey,
    Target,
)
from bot.grammar.terms import Field, Match, Word
from tests.unit.grammar.typed import Request, name, refusal, target_of, user


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("all", SessionsRequest(all=True)),
        ("some_db private", SessionsRequest(Target(None, "some_db"), private=True)),
        ("Private ALL", SessionsRequest(all=True, private=True)),
        ("33507 34100 33507", SessionsRequest(pids=(33507, 34100))),
        ("33507 user=a", SessionsRequest(pids=(33507,), terms=(user("a"),))),
        ("limit=1", SessionsRequest(limit=1)),
        (f"LIMIT={MAX_LIMIT}", SessionsRequest(limit=MAX_LIMIT)),
        ("columns=pid,usename", SessionsRequest(columns=("pid", "usename"))),
        ("columns=PID,xact_age", SessionsRequest(columns=("pid", "xact_age"))),
        ("COLUMNS=pid, state", SessionsRequest(columns=("pid", "state"))),
        ("columns=all", SessionsRequest(columns=COLUMNS)),
        ("Columns = ALL", SessionsRequest(columns=COLUMNS)),
        ("columns = pid , usename ,state", SessionsRequest(columns=("pid", "usename", "state"))),
        (
            "columns=pid, state some_db",
            SessionsRequest(Target(None, "some_db"), columns=("pid", "state")),
        ),
        ("sort=xact_age", SessionsRequest(sort=(SortKey("xact_age"),))),
        (
            "sort=-xact_age, PID",
            SessionsRequest(sort=(SortKey("xact_age", descending=True), SortKey("pid"))),
        ),
        *(
            (f"sort={minus}xact_age", SessionsRequest(sort=(SortKey("xact_age", True),)))
            for minus in "-–—−"
        ),
        ("limit=500", SessionsRequest(limit=500)),
        ("columns=" + ",".join(ACTIVITY_COLUMNS), SessionsRequest(columns=ACTIVITY_COLUMNS)),
    ],
)
def test_view_options_of_sessions(text: str, request_: Request) -> None:
    assert parse_sessions(text) == request_


def test_the_columns_of_the_story_come_in_the_order_asked_for() -> None:
    columns = (
        "usename, datname, backend_type, pid, state, client_addr, client_port, client_hostname"
    )
    request = parse_sessions(f"some_db columns={columns}")
    assert request == SessionsRequest(Target(None, "some_db"), columns=tuple(columns.split(", ")))


@pytest.mark.parametrize(
    ("text", "word", "problem", "nearest"),
    [
        ("columns=pid,usenam", "usenam", "no such column", ("usename",)),
        ("columns=pid,USER", "USER", "no such column", ("usename",)),
        ("columns=zzzzzzzz", "zzzzzzzz", "no such column", ()),
        ("columns=all,pid", "all", "no such column", ()),
        ("columns=pid,state,pid", "pid", "named twice", ()),
        ("columns=", "columns=", "its value is missing", ()),
        ('columns=""', 'columns=""', "before or after a `,` is missing", ()),
        ("columns=pid,", "columns=pid,", "before or after a `,` is missing", ()),
        ("columns=,pid", "columns=,pid", "before or after a `,` is missing", ()),
        ("columns=pid, user=x", "columns=pid,", "before or after a `,` is missing", ()),
        ("columns!=pid", "columns!=pid", "use `=`", ()),
        ("columns=pid columns=pid", "columns=pid", "is given twice", ()),
        ("sort=pid sort=state", "sort=state", "is given twice", ()),
        ("sort=pid,-pid", "pid", "named twice", ()),
        ("sort=zz", "zz", "no such column", ()),
        ("sort=pid,", "sort=pid,", "before or after a `,` is missing", ()),
        ("sort=-xact_aeg", "xact_aeg", "no such column", ("xact_age",)),
        ("limit=0", "limit=0", "from 1 to 10000", ()),
        ("limit=10001", "limit=10001", "from 1 to 10000", ()),
        ("limit=-1", "limit=-1", "from 1 to 10000", ()),
        ("limit=x", "limit=x", "from 1 to 10000", ()),
        ('limit=""', 'limit=""', "from 1 to 10000", ()),
        ("limit=٣", "limit=٣", "from 1 to 10000", ()),
        ("limit>3", "limit>3", "use `=`", ()),
        ("limit=3 limit=3", "limit=3", "is given twice", ()),
        ("some_db help", "help", "must be the only word", ()),
        (
            "history",
            "history",
            "for the record of kills, use `/pg-kill history`",
            (),
        ),
        ("some_db -- x", "--", "only /pg-kill takes a reason", ()),
        ("help --", "--", "only /pg-kill takes a reason", ()),
        ("0", "0", "a pid is a number from 1 to 2147483647", ()),
    ],
)
def test_a_view_that_cant_be_understood_is_named(
    text: str, word: str, problem: str, nearest: tuple[str, ...]
) -> None:
    error = refusal(parse_sessions, text)
    assert error.word == word
    assert problem in error.problem
    assert error.nearest == nearest


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("33507", KillRequest(pids=(33507,))),
        ("33507 34100 33507 1", KillRequest(pids=(33507, 34100, 1))),
        ("33507, 34100,1", KillRequest(pids=(33507, 34100, 1))),
        ("0033507", KillRequest(pids=(33507,))),
        (str(MAX_PID), KillRequest(pids=(MAX_PID,))),
        ("main/ 33507", KillRequest(Target("main"), pids=(33507,))),
        ("some_db", KillRequest(Target(None, "some_db"))),
        ("some_db all", KillRequest(Target(None, "some_db"), all=True)),
        ("prod/ all", KillRequest(Target("prod"), all=True)),
        ("all", KillRequest(all=True)),
        ("blocking", KillRequest(terms=(Word.BLOCKING,))),
        ("user=some_user", KillRequest(terms=(user("some_user"),))),
        (
            "some_db user=some_user app=psql -- reason",
            KillRequest(
                Target(None, "some_db"),
                terms=(user("some_user"), Match(Field.APPLICATION_NAME, name("psql"))),
                reason="reason",
            ),
        ),
        ('"--" -- x', KillRequest(Target(None, "--"), reason="x")),
        ('user="a -- b"', KillRequest(terms=(user("a -- b"),))),
        ("history", HistoryRequest()),
        ("History prod/some_db", HistoryRequest(Target("prod", "some_db"))),
        ("history user=a", HistoryRequest(terms=(user("a"),))),
        ("history 3", HistoryRequest(limit=3)),
        (f"history {MAX_LIMIT}", HistoryRequest(limit=MAX_LIMIT)),
        ("history prod/ 12 user=a", HistoryRequest(Target("prod"), (user("a"),), limit=12)),
        ('"history"', KillRequest(Target(None, "history"))),
    ],
)
def test_kill_takes_pids_or_filters(text: str, request_: Request) -> None:
    assert parse_kill(text) == request_


@pytest.mark.parametrize(
    "text",
    [
        "`33507`",
        "```33507```",
        "`33507`.",
        "`33507",
        "33507.",
        "33507,",
        "33507;",
        "33507:",
        "33507)",
        "(33507)",
        "[33507]",
        "#33507",
        "(#33507).",
        "pid 33507",
        "PID 33507,",
        "pid: 33507",
        "PID:33507",
        "pid#33507",
        "pid=33507",
        "pids = 33507",
        "`pid=33507`",
        "pid=`33507`",
        "pids 33507",
    ],
)
@pytest.mark.parametrize("place", ["", "main/ ", "some_db "])
def test_pid_copied_from_a_sentence_or_log_is_accepted(text: str, place: str) -> None:
    (target,) = {target_of(place)}
    assert parse_kill(f"{place}{text}") == KillRequest(target, pids=(33507,))
    assert parse_kill(f"{place}{text} -- `why`") == KillRequest(target, (33507,), reason="`why`")
    assert parse_sessions(f"{place}{text}") == SessionsRequest(target, pids=(33507,))


@pytest.mark.parametrize(
    "text",
    [
        "33507,34100",
        "#33507,#34100",
        "`33507`, `34100`",
        "`33507 34100`",
        "pids 33507,34100.",
        "pid=33507,34100",
        "pid=33507, 34100",
        "(33507, 34100)",
        "pid 33507 pid 34100",
    ],
)
def test_several_copied_pids_are_accepted(text: str) -> None:
    assert parse_kill(text) == KillRequest(pids=(33507, 34100))


def test_backticks_around_words_change_nothing() -> None:
    plain = parse_kill("some_db user=web* state=idle_tx xact>5m")
    assert parse_kill("`some_db` user=`web*` `state=idle_tx` `xact`>`5m`") == plain
    assert parse_kill("`some_db user=web* state=idle_tx xact>5m`") == plain
    assert parse_kill('user=`"a b"`') == parse_kill('user="a b"')
    assert parse_kill('`user="a b"` some_db') == parse_kill('user="a b" some_db')


@pytest.mark.parametrize("text", ["pid", "pid user=web", "pid some_db 33507", "33507 pid", "`pid`"])
def test_the_word_pid_without_a_number_ends_nothing(text: str) -> None:
    assert "a number must follow it" in refusal(parse_kill, text).problem


@pytest.mark.parametrize(
    "text", ["app=`my app`", "some_db user=`a b`", "`app=`my all`", "app=`my`X"]
)
def test_a_backtick_inside_a_word_closes_in_it(text: str) -> None:
    """Otherwise `app=`my all`` would end every session of an application called `my`."""
    assert "its backtick is not closed" in refusal(parse_kill, text).problem


@pytest.mark.parametrize(
    ("text", "word", "problem"),
    [
        ("", "", "a pid or a filter"),
        (" \u00a0 ", "", "a pid or a filter"),
        ("-- because", "", "a pid or a filter"),
        ("33507 user=a", "user=a", "pids and filters can't be combined"),
        ("blocked 33507", "blocked", "pids and filters can't be combined"),
        ("33507 ALL", "ALL", "pids and filters can't be combined"),
        ("0", "0", "from 1 to 2147483647"),
        ("2147483648", "2147483648", "from 1 to 2147483647"),
        ("1,2147483648", "2147483648", "from 1 to 2147483647"),
        ("private", "private", "only /pg-sessions takes this"),
        ("user=a limit=3", "limit=3", "only /pg-sessions takes this"),
        ("columns = pid", "columns = pid", "only /pg-sessions takes this"),
        ("sort=", "sort=", "only /pg-sessions takes this"),
        ("some_db help", "help", "must be the only word"),
        ("help -- x", "help", "must be the only word"),
        (
            "some_db history",
            "history",
            "for the record of kills, use `/pg-kill history`",
        ),
        (
            "history history",
            "history",
            "for the record of kills, use `/pg-kill history`",
        ),
        ("history 33507", "33507", "no pids"),
        ("history pid=33507", "33507", "no pids"),
        ("history #3", "#3", "no pids"),
        ("history 3 4", "4", "takes one number"),
        ("history 0", "0", "use a number from 1 to 10000"),
        ("user=a - it hangs", "-", "two dashes"),
        ("some_db because", "because", "a second target"),
        ("`33507` user=a", "user=a", "pids and filters can't be combined"),
        ("pid=33507 user=a", "user=a", "pids and filters can't be combined"),
        ("history all", "all", "already shows all kills of its target"),
        ("history -- x", "--", "takes no reason"),
        ("history private", "private", "only /pg-sessions takes this"),
        ("history app=psql", "app=psql", "takes only the filters `user=` and `db=`"),
        ("history user=a blocked", "blocked", "takes only the filters `user=` and `db=`"),
        ("history help", "help", "must be the only word"),
        (",", ",", "a `,` in it needs quotes"),
        ("33507,,34100", "33507,,34100", "a `,` in it needs quotes"),
    ],
)
def test_a_kill_that_cant_be_understood_is_named(text: str, word: str, problem: str) -> None:
    error = refusal(parse_kill, text)
    assert error.word == word
    assert problem in error.problem


def test_kill_suggests_two_dashes_for_one() -> None:
    assert refusal(parse_kill, "user=a - it hangs").nearest == ("--",)


def test_kill_never_suggests_a_view_option() -> None:
    assert refusal(parse_kill, "colums=pid").nearest == ()


def test_kill_takes_a_limited_number_of_pids() -> None:
    pids = tuple(range(1, MAX_PIDS + 1))
    text = " ".join(map(str, pids))
    assert parse_kill(text) == KillRequest(pids=pids)
    assert parse_kill(f"{text} 1") == KillRequest(pids=pids)
    assert parse_sessions(f"{text} {MAX_PIDS + 1}") == SessionsRequest(pids=(*pids, MAX_PIDS + 1))
    error = refusal(parse_kill, f"{text} {MAX_PIDS + 1}")
    assert error.word == str(MAX_PIDS + 1)
    assert str(MAX_PIDS) in error.problem


@pytest.mark.parametrize(
    "text", ["help", " HELP ", "--help", "-h", "--Help ", "—help", "–h", "—h", "?"]
)
def test_help_belongs_to_its_command(text: str) -> None:
    assert parse_sessions(text) == HelpRequest(SESSIONS)
    assert parse_kill(text) == HelpRequest(KILL)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # of a target
        ("/x", "the cluster before `/` is missing"),
        ('""', "the name is empty"),
        ("a/b/c", "a target is `cluster/database`; another `/` needs quotes"),
        ("web*", "a target is one name, not a glob; `db=` takes globs"),
        ("a,b", "a target is one name; a `,` in it needs quotes"),
        ("a b", "a second target; there can be only one, and a name with spaces needs quotes"),
        ('"a b', "its quote is not closed"),
        ('a"b', "a quote in a name: double it, and put quotes around the name"),
        ('"a"b', "continues after its closing quote; double a quote inside quotes"),
        # of a filter
        ("stat=idle", "no such filter"),
        ("pid<33507", "a pid is a number, by itself or after `pid=`"),
        ("pid", "a number must follow it; a database of that name needs quotes"),
        ("app=`my app`", 'its backtick is not closed; a name with spaces needs "quotes"'),
        ("=x", "the filter's name before `=` is missing"),
        ('"user"=x', "a filter's name takes no quotes"),
        ("user=", "its value is missing"),
        ("user>x", "use `=` or `!=`"),
        ("user=a=b", "a `=` in a value needs quotes"),
        ("user=a,b", "a filter takes one value; a `,` in it needs quotes"),
        ('user=""', "the name is empty"),
        ("state=idel", "no such state"),
        ("state=zzz*", "no state matches that"),
        ('type=""', "the name is empty"),
        (
            "type=walsnder",
            "no such type; to find an extension's worker of that name, add a `*`",
        ),
        ("client=localhost", "use an address, a network or a glob"),
        ("client=web-*", "a glob of addresses can have only digits, dots and colons"),
        ("client=fe80::1%eth0", "PostgreSQL shows addresses without a zone (`%`)"),
        ("client=10.0.0.5/8", "the address has bits set to the right of its mask"),
        ("age=1h", "is an age: use `>` or `<`"),
        ("age>5", "a number needs its unit right after it, as in `5m`"),
        ("age>1.5h", "use whole numbers and units, such as `90s`, `5m` or `1h30m`"),
        ("age>500ms", "no such unit; use `s`, `m`, `h` or `d`"),
        ("age>3651d", "the limit is ten years"),
        # of a view
        ("limit>3", "use `=`"),
        ("limit=", "its value is missing"),
        ("limit=3 limit=3", "`limit=` is given twice"),
        ("limit=0", "use a number from 1 to 10000"),
        ("columns=pid,", "a name before or after a `,` is missing"),
        ("columns=zz", "no such column"),
        ("columns=pid,pid", "this column is named twice"),
        # of the rest
        ("some_db help", "must be the only word"),
        ("history", "for the record of kills, use `/pg-kill history`"),
        ("some_db -- x", "only /pg-kill takes a reason"),
        ("0", "a pid is a number from 1 to 2147483647"),
        (" " * (MAX_TEXT + 1), "the command has 1501 characters; the limit is 1500"),
    ],
)
def test_error_texts_for_sessions(text: str, problem: str) -> None:
    assert refusal(parse_sessions, text).problem == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "say what to end: a pid or a filter"),
        (
            "33507 user=a",
            "pids and filters can't be combined: use one or the other",
        ),
        ("private", "only /pg-sessions takes this"),
        ("user=a - it hangs", "a reason comes after two dashes"),
        (
            "some_db because",
            (
                "a second target; there can be only one, and a name with spaces needs quotes;"
                " a reason comes after `--`"
            ),
        ),
        (" ".join(map(str, range(1, MAX_PIDS + 2))), "one pid too many: the limit is 100"),
        (f"1 -- {'x' * (MAX_REASON + 1)}", "the reason has 501 characters; the limit is 500"),
        ("history -- x", "/pg-kill history takes no reason"),
        ("history 33507", "/pg-kill history takes one number, of kills, and no pids"),
        ("history all", "/pg-kill history already shows all kills of its target"),
        ("history app=psql", "/pg-kill history takes only the filters `user=` and `db=`"),
    ],
)
def test_error_texts_for_kills(text: str, problem: str) -> None:
    assert refusal(parse_kill, text).problem == problem
