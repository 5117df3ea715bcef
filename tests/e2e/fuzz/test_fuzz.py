"""Thousands of random things that an outsider may do to the running bot.

Whatever outsiders send and whatever they are called: the bot keeps running, answers, ends nothing
without an authorized confirmation, mentions, links and formats nothing, and reveals no literal. A
failure names the seed and the case; `FUZZ_SEED`, `FUZZ_FIRST` and `FUZZ_CASES` repeat it.
"""

import asyncio
import hashlib
import hmac
import io
import json
import re
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from urllib.parse import urlencode

import aiohttp
import asyncpg
import pytest

from tests.e2e.conftest import Bot
from tests.e2e.fuzz import making
from tests.e2e.fuzz.conftest import LANDLORD, LIKE_ANY, PLANTED, SEED, Lane, World, cases, chunks
from tests.e2e.fuzz.judging import faults_of, faults_of_line, secrets_in
from tests.integration.conftest import BOT
from tests.integration.hostile import calls
from workspace import Workspace
from workspace.block_elements import options_of
from workspace.blocks import Element, Json, elements
from workspace.faults import TABLE_ERRORS, Faults
from workspace.log import Change
from workspace.payloads import command_payload, message_click_payload, view_click_payload
from workspace.people import PATIENCE
from workspace.state import Channel, Message, State, User, View

KEPT_MESSAGES = 12
MOST_FAILURES = 10
RESPONSES = ("/commands/T", "/actions/T", "/app/T")
"""Parts of response_urls, which nobody but the bot may know."""
END_KINDS = {
    "kill.terminate": "terminate",
    "kill.cancel": "cancel",
    "kill.cancel_then_terminate": "cancel_then_terminate",
}
"""The buttons that end something, and what is on record of whoever pressed them."""


class Rig:
    """The bot among its outsiders: does what a case says, and checks the results."""

    def __init__(
        self,
        bot: Bot,
        slack: Workspace,
        world: World,
        lanes: list[Lane],
        ledger: asyncpg.Connection,
    ) -> None:
        self.bot = bot
        self.slack = slack
        self.world = world
        self.lanes = lanes
        self.may_end: set[tuple[str, str, str]] = set()
        """Authorized presses of buttons that end something: who, what, and the button's value."""
        self._ledger = ledger
        self._seen = len(slack.state.log)
        self._read = 0
        self._known = {user.id for lane in lanes for user in lane.people.values()}
        self._killers = {killer for lane in lanes for killer in lane.killers}
        self._cancellers = frozenset(lane.people["cora"].id for lane in lanes)

    # --- doing -------------------------------------------------------------------------

    async def answered(
        self, user: User, channel: Channel, act: Callable[[], Awaitable[object]]
    ) -> Change:
        """Do something, and wait for the bot's reaction."""
        log = self.slack.state.log
        since = len(log)
        await act()

        def answers() -> Iterator[Change]:
            for change in log.since(since):
                match change.kind, change.subject:
                    case "message_posted" | "message_changed", Message(kind="message") as message:
                        if message.channel == channel.id and not is_unasked(message):
                            yield change
                    case "message_posted", Message(kind="notice") as message:
                        # Slack's own words if there was no acknowledgement.
                        assert message.channel != channel.id, message.text
                    case "view_opened" | "view_changed", View(user=user.id):
                        yield change
                    case _:
                        pass

        found = await log.until(lambda: any(answers()), PATIENCE)
        assert found, "it stayed without an answer"
        return next(answers())

    async def command(self, user: User, channel: Channel, typed: str) -> Change:
        return await self.answered(
            user, channel, lambda: self.slack.interactions.command(user, channel, typed)
        )

    async def press(self, random: Random, user: User, channel: Channel) -> bool:
        """Let a person press something that they see; False if there is nothing."""
        view = next(iter(self.slack.state.views_of(user.id)[-1:]), None)
        if view is not None and random.random() < 0.3:
            self.slack.state.close_view(view)
            view = None
        seen = [
            message
            for message in self.slack.state.messages(channel.id)
            if message.receiver in {None, user.id}
        ]
        buttons: list[tuple[Message | View, Element]]
        if view is not None:
            buttons = [(view, element) for element in elements(view.body["blocks"])]
        else:
            buttons = [(m, element) for m in seen for element in elements(list(m.blocks))]
        if not buttons:
            return False
        place, element = random.choice(buttons)
        chosen = {}
        if element.type == "static_select":
            chosen = {"selected_option": random.choice(options_of(element.element))}
        self.note_end(user.id, element.action_id, element.element.get("value", ""))
        act = self.slack.interactions

        async def click() -> None:
            if isinstance(place, Message):
                await act.click_in_message(user, place, element, chosen)
            else:
                await act.click_in_view(user, place, element, chosen)

        await self.answered(user, channel, click)
        return True

    def note_end(self, user_id: object, action_id: object, value: object) -> None:
        """Remember who pressed a button that may end a session."""
        action = END_KINDS.get(str(action_id))
        who = self._killers | (self._cancellers if action == "cancel" else frozenset())
        if action is not None and str(user_id) in who:
            self.may_end.add((str(user_id), action, str(value)))

    def tidy(self, channel: Channel) -> None:
        """Delete old messages, since nobody scrolls up that far."""
        messages = list(self.slack.state.messages(channel.id))
        for message in messages[: max(0, len(messages) - KEPT_MESSAGES)]:
            self.slack.state.delete(message)

    # --- judging -----------------------------------------------------------------------

    def judge(self) -> None:
        """Check everything said and logged since the last time."""
        changes = self.slack.state.log.since(self._seen)
        self._seen += len(changes)
        lines = self.bot.lines[self._read :]
        self._read += len(lines)
        app = self.slack.state.app
        hidden = (app.bot_token, app.app_token, app.signing_secret, *RESPONSES)
        faults = [
            *(f for each in changes for f in faults_of(each, self._known, self._killers)),
            *(f for line in lines for f in faults_of_line(line, hidden)),
        ]
        assert not faults, "\n".join(fault[:1500] for fault in faults[:5])
        assert self.bot.process is not None
        assert self.bot.process.returncode is None, self.bot.output

    def judge_text(self, text: str) -> None:
        """Check an HTTP answer's text."""
        assert not [*secrets_in(text)], text
        assert "Traceback" not in text

    async def judge_deaths(self) -> None:
        """Every dead session must have been confirmed by somebody with the right."""
        admin = await asyncpg.connect(self.world.server.dsn())
        rows = await admin.fetch(
            "select pid, (extract(epoch from backend_start) * 1000000)::bigint as started"
            " from pg_stat_activity"
        )
        await admin.close()
        alive = {(row["pid"], row["started"]) for row in rows}
        there = (*self.world.held, *self.world.queue)
        dead = [held for held in there if (held.pid, held.started) not in alive]
        ended = {
            (row["pid"], row["backend_start"], row["key"]): (
                row["confirmed_by"],
                row["confirmed_action"],
            )
            for row in await self._ledger.fetch(
                "select k.key, k.confirmed_by, k.confirmed_action, t.pid, t.backend_start"
                " from kills k join targets t on t.kill_id = k.id"
                " where k.confirmed_by is not null"
            )
        }
        for (_, _, key), (who, action) in ended.items():
            assert (who, action, key) in self.may_end, f"{who} may not {action} kill {key}"
        terminated = {each[:2] for each, (_, action) in ended.items() if action != "cancel"}
        for held in dead:
            assert (held.pid, held.started) in terminated, f"{held.pid} died of nothing"
        self.world.held = [held for held in self.world.held if held not in dead]
        await self.world.fill()

    async def judge_calls(self) -> None:
        """No code of a database's owner has run as the bot."""
        owner = await asyncpg.connect(
            self.world.server.dsn(user=LANDLORD, database=PLANTED), server_settings=LIKE_ANY
        )
        called = {each for each in await calls(owner) if each.endswith(f" as {BOT}")}
        await owner.close()
        assert not called


def is_unasked(message: Message) -> bool:
    """Whether it is an alert, or a board that is being redrawn."""
    return message.metadata is not None or message.text.startswith("Watching ")


async def run(rig: Rig, kind: str, first: int, case: Callable[..., Awaitable[None]]) -> None:
    """Run all cases of a chunk, several at a time; report the failures, up to a few."""
    waiting = cases(kind, first)
    under_way: dict[str, list[str]] = {}
    failures: list[str] = []

    async def go_along(lane: Lane) -> None:
        for number, random in waiting:
            told = under_way[lane.channel.id] = [f"FUZZ_FIRST={number}"]
            try:
                await case(rig, lane, random, told.append)
                rig.judge()
            except Exception as error:  # noqa: BLE001  reported with its case
                where = "".join(traceback.format_tb(error.__traceback__)[-2:])
                # Everything said and logged is checked after each case, whichever case caused it.
                others = [each for each in under_way.values() if each is not told]
                failures.append(
                    f"FUZZ_SEED={SEED}, {kind}: {'; '.join(told)[:700]}\n"
                    f"{where}{type(error).__name__}: {error}\n"
                    f"Beside it: {' | '.join('; '.join(other)[:300] for other in others)}"
                )
            if len(failures) >= MOST_FAILURES:
                return
            rig.tidy(lane.channel)

    await asyncio.gather(*(go_along(lane) for lane in rig.lanes))
    assert not failures, "\n\n".join(failures)
    rig.judge()
    await rig.judge_deaths()
    await rig.judge_calls()


@pytest.fixture
def rig(
    watched: Bot,
    slack: Workspace,
    world: World,
    lanes: list[Lane],
    ledger: asyncpg.Connection,
) -> Rig:
    return Rig(watched, slack, world, lanes, ledger)


Tell = Callable[[str], None]


@pytest.mark.parametrize(("kind", "first", "mode"), chunks("commands"))
async def test_any_typed_command(rig: Rig, kind: str, first: int) -> None:
    async def case(rig: Rig, lane: Lane, random: Random, tell: Tell) -> None:
        typed = making.command(random, rig.world.names, rig.world.pids)
        user = lane.people[random.choice(("ana", "ana", "ana", "cora", "ida", "vera", "sam"))]
        tell(f"{user.name}: {typed!r}")
        await rig.command(user, lane.channel, typed)

    await run(rig, kind, first, case)


@pytest.mark.parametrize(("kind", "first", "mode"), chunks("names"))
async def test_any_session_names_and_queries(rig: Rig, kind: str, first: int) -> None:
    async def case(rig: Rig, lane: Lane, random: Random, tell: Tell) -> None:
        if random.random() < 0.15:
            tell(f"Slack {mood(random, rig.slack.faults)}")
        if random.random() < 0.1:
            tell("a session runs something else")
            await rig.world.busy(random.choice(rig.world.held), random)
        if random.random() < 0.5:
            user = lane.people[random.choice(("ana", "ben", "vera", "cora", "ida", "sam", "olga"))]
            tell(f"{user.name} presses something")
            if await rig.press(random, user, lane.channel):
                return
        user = lane.people[random.choice(("ana", "ben", "vera", "cora"))]
        typed = known(random, rig.world)
        tell(f"{user.name}: {typed!r}")
        await rig.command(user, lane.channel, typed)

    await run(rig, kind, first, case)


def mood(random: Random, faults: Faults) -> str:
    """Make Slack refuse a layout with some code, leave fields out, or behave normally again."""
    match random.choice(("tables", "text", "says less", "not yet", "itself")):
        case "tables":
            faults.refuse_tables(error=(error := random.choice(TABLE_ERRORS)))
            return f"takes no tables: {error}"
        case "text":
            # Not for acknowledgements: nobody learns whether those were accepted.
            faults.refuse_blocks("actions", error=(error := random.choice(TABLE_ERRORS)))
            return f"takes no buttons: {error}"
        case "says less":
            path = random.choice(("channel", "channel.is_ext_shared"))
            faults.leave_out("conversations.info", path, times=random.randint(1, 3))
            return f"leaves out {path}"
        case "not yet":
            faults.refuse("views.update", "not_found")
            faults.refuse("response_url", "not_found", status=404)
            return "does not know yet what it has just made"
        case _:
            faults.clear()
            return "is itself again"


def known(random: Random, world: World) -> str:
    """A command that matches somebody."""
    name = '"' + random.choice(world.roles).replace('"', '""') + '"'
    database = '"' + random.choice(world.databases).replace('"', '""') + '"'
    cluster = random.choice(("main/", "prod/"))
    return random.choice(
        (
            "/pg-sessions",
            f"/pg-sessions {cluster}",
            f"/pg-sessions {cluster} columns=all",
            f"/pg-sessions {cluster}{database}",
            f"/pg-sessions {cluster} user={name} private",
            f"/pg-sessions {cluster} columns=query,application_name,usename,datname sort=query",
            f"/pg-kill {cluster} user={name} -- {making.reason(random)}",
            f"/pg-kill {cluster} {random.choice(world.pids)} -- {making.reason(random)}",
            f"/pg-kill {cluster}{database} all -- {making.reason(random)}",
            f"/pg-kill {random.choice(world.pids)}",
            f"/pg-kill {cluster} app={making.MARK}*",
            f"/pg-sessions {cluster} {random.choice(('blocked', 'blocking'))}",
            f"/pg-kill {cluster} {random.choice(('blocked', 'blocking'))}",
            f"/pg-kill {random.choice(world.queue).pid} -- {making.reason(random)}",
            "/pg-kill history",
            f"/pg-kill history user={name}",
            f"/pg-sessions watch {cluster} user!={name}",
            f"/pg-sessions watch {cluster}{database}",
            f"/pg-sessions why {cluster}",
            f"/pg-sessions why {cluster} user={name}",
            f"/pg-sessions {cluster} at=-2s",
            f"/pg-sessions why {cluster} at=-2s",
            f"/pg-sessions tree {cluster} at=-2s",
            f"/pg-sessions by=app,user {cluster} at=-2s",
            f"/pg-sessions by=app,user {cluster}",
            f"/pg-sessions horizon {cluster}",
        )
    )


# --- what is posted ------------------------------------------------------------------


class Post:
    """Requests to the bot as Slack would send them, or nearly."""

    def __init__(self, rig: Rig, port: int, session: aiohttp.ClientSession) -> None:
        self._rig = rig
        self._port = port
        self._session = session

    async def body(self, body: bytes, **headers: str) -> int:
        """Post this, signed by Slack unless the headers say otherwise; return the status."""
        stamp = str(int(time.time()))
        secret = self._rig.slack.state.app.signing_secret.encode()
        base = f"v0:{stamp}:".encode() + body
        signed = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": "v0=" + hmac.new(secret, base, hashlib.sha256).hexdigest(),
        }
        async with self._session.post(
            f"http://127.0.0.1:{self._port}/slack/events",
            data=io.BytesIO(body),
            headers=signed | headers,
        ) as answer:
            text = await answer.text()
            self._rig.judge_text(text)
            return answer.status

    async def payload(self, payload: object) -> int:
        # Each one differs: the same request twice would be a replay.
        if isinstance(payload, dict):
            payload = {**payload, "nonce": secrets.token_hex(8)}
        return await self.body(urlencode({"payload": json.dumps(payload)}).encode())

    async def raw(self, data: bytes) -> bytes:
        """Bytes that aren't a request; returns the answer, up to where the server gives up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(data)
            await writer.drain()
            writer.write_eof()
            return await reader.read(65536)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("kind", "first", "mode"), [(kind, first, "http") for kind, first, _ in chunks("payloads")]
)
async def test_any_posted_payload(rig: Rig, kind: str, first: int, port: int) -> None:
    async with aiohttp.ClientSession() as session:
        post = Post(rig, port, session)

        async def case(rig: Rig, lane: Lane, random: Random, tell: Tell) -> None:
            await random.choice(POSTS)(rig, lane, random, tell, post)

        await run(rig, kind, first, case)


def refused(status: int) -> bool:
    return 400 <= status < 500


async def no_payload(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """A body that isn't a payload."""
    body = random.choice(
        (
            lambda: b"",
            lambda: b"payload=",
            lambda: b"payload=%7B",
            lambda: b"payload=" + making.deep(random).encode(),
            lambda: making.deep(random).encode(),
            lambda: urlencode({"payload": json.dumps(making.scalar(random))}).encode(),
            lambda: json.dumps(making.scalar(random)).encode(),
            lambda: making.characters(random, 0, 200).encode(),
            lambda: bytes(random.randrange(256) for _ in range(random.randint(1, 200))),
            lambda: b"&".join([b"a=b"] * random.choice((1, 100, 5000))),
            lambda: b"command=%2Fpg-kill",
            lambda: b"command=%2Fpg-kill&text=all" + b"&user_id=U0ANA0" * 2,
            lambda: b"ssl_check=1&token=x",
            lambda: b'{"type": "url_verification", "challenge": "x"}',
            lambda: b"x" * 2**20 + b"x",
        )
    )()
    kind = random.choice(
        ("application/x-www-form-urlencoded", "application/json", "text/plain", "x/y; charset=z")
    )
    tell(f"{kind}: {body[:200]!r}")
    status = await post.body(body, **{"Content-Type": kind, "X-Nonce": secrets.token_hex(4)})
    assert status == 200 or refused(status), status


async def not_from_slack(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """A request that Slack has not signed."""
    headers = random.choice(
        (
            {"X-Slack-Signature": "v0=" + "0" * 64},
            {"X-Slack-Signature": ""},
            {"X-Slack-Signature": "v0=é"},
            {"X-Slack-Signature": "x" * 5000},
            {"X-Slack-Request-Timestamp": "0"},
            {"X-Slack-Request-Timestamp": ""},
            {"X-Slack-Request-Timestamp": "now"},
            {"X-Slack-Request-Timestamp": "9" * 5000},
            {"X-Slack-Request-Timestamp": "1e9"},
            {"X-Slack-Request-Timestamp": "٣"},
            {"X-Slack-Request-Timestamp": str(int(time.time()) - 400)},
        )
    )
    body = random.choice(
        (
            b"command=%2Fpg-kill&text=all&user_id=U0ANA0&team_id=T0ACME&channel_id=C0LANE0",
            b"payload=" + making.deep(random).encode(),
            making.deep(random).encode(),
            b"payload=%7B",
            b"ssl_check=10",
            b'{"type": "url_verification", "challenge": "x"}',
        )
    )
    tell(f"{headers}: {body[:200]!r}")
    assert await post.body(body, **headers) in {401, 413}


async def no_http(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """Bytes on the port that aren't a request, or not a complete one."""
    data = random.choice(
        (
            b"",
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort",
            b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /slack/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST /slack/events HTTP/9.9\r\nHost: x\r\n\r\n",
            b"POST /slack/events HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            b"POST /slack/events HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
            b"GET /slack/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"POST http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n\r\nabc",
            bytes(random.randrange(256) for _ in range(random.randint(1, 400))),
        )
    )
    tell(f"{data[:200]!r}")
    answer = await post.raw(data)
    rig.judge_text(answer.decode(errors="replace"))
    assert not re.match(rb"HTTP/1.\d 5", answer), answer


async def command_form(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """A command's form with one error."""
    state = rig.slack.state
    user = lane.people[random.choice(("ana", "cora", "ida", "vera", "sam", "olga"))]
    url = state.new_response_url(lane.channel.id, user.id, None)
    form = command_payload(
        state=state,
        user=user,
        channel=lane.channel,
        command=random.choice(("/pg-sessions", "/pg-kill")),
        text=making.command(random, rig.world.names, rig.world.pids).partition(" ")[2],
        response_url=f"{rig.slack.server.base_url}/commands/T0ACME/{url.secret}",
        trigger=state.new_trigger(user.id),
    )
    for _ in range(random.randint(0, 3)):
        field = random.choice(sorted(form))
        match random.randint(0, 3):
            case 0:
                del form[field]
            case 1 if field == "response_url":
                form[field] = random.choice(making.RESPONSE_URLS)
            case 1 | 2:
                form[field] = making.bits(random, 0, 4)
            case _:
                form[field] = "x" * random.choice((1, 2000, 100_000))
        if not form:
            break
    tell(f"{str(form)[:600]}")
    body = urlencode(form, errors="replace").encode()
    status = await post.body(body)
    assert status == 200 or refused(status), status


async def click(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """A click on something that exists, by somebody else, elsewhere, or with another value."""
    place, element = await something_to_press(rig, lane, random)
    state = rig.slack.state
    user = lane.people[random.choice(("ana", "ana", "ben", "cora", "ida", "vera", "sam", "olga"))]
    if isinstance(place, View):
        # Slack shows a modal to one person, whatever the rest of the payload says.
        user = next(each for each in lane.people.values() if each.id == place.user)
    chosen = {}
    if element.type == "static_select":
        chosen = {"selected_option": random.choice(options_of(element.element))}
    trigger = state.new_trigger(user.id)
    if isinstance(place, Message):
        url = state.new_response_url(lane.channel.id, user.id, place.ts)
        made = message_click_payload(
            state=state,
            user=user,
            message=place,
            element=element,
            chosen=chosen,
            response_url=f"{rig.slack.server.base_url}/actions/T0ACME/{url.secret}",
            trigger=trigger,
        )
    else:
        made = view_click_payload(
            state=state, user=user, view=place, element=element, chosen=chosen, trigger=trigger
        )
    made, delivered = forged(random, made, state)
    shown = {key: value for key, value in made.items() if key not in {"message", "view", "state"}}
    tell(f"{user.name} clicks: {json.dumps(shown)}")
    action = made["actions"][0] if isinstance(made.get("actions"), list) and made["actions"] else {}
    if isinstance(action, dict):
        who = made["user"].get("id") if isinstance(made.get("user"), dict) else None
        option = action.get("selected_option")
        value = option.get("value") if isinstance(option, dict) else action.get("value")
        rig.note_end(who, re.sub(r"\.\d+$", "", str(action.get("action_id"))), value)
    if delivered and isinstance(place, Message):
        statuses: list[int] = []

        async def act() -> None:
            statuses.append(await post.payload(made))

        await rig.answered(user, lane.channel, act)
        assert statuses == [200]
    else:
        status = await post.payload(made)
        assert status == 200 or refused(status), status


def forged(random: Random, made: Json, state: State) -> tuple[Json, bool]:
    """A click's payload with one error, and whether an answer can still be delivered."""
    action = made["actions"][0]
    match random.randint(0, 9):
        case 0 | 1:
            value = random.choice((*making.VALUES, str(random.randint(0, 60))))
            if "selected_option" in action:
                action["selected_option"] = {**action["selected_option"], "value": value}
            else:
                action["value"] = value
            return made, True
        case 2:
            action["action_id"] = random.choice(making.ACTIONS)
            return made, True
        case 3 if "view" in made:
            made["view"]["private_metadata"] = random.choice(making.METADATA)
            return made, False
        case 3:
            made["response_url"] = random.choice(making.RESPONSE_URLS)
            return made, False
        case 4:
            made["user"]["team_id"] = random.choice(("T0GLOBEX", "", None, "T0ACME", 0, "\ud800"))
            return made, False
        case 5:
            ids = ("C0SHARED", "C0SECRET", "C0NOWHERE", "D0ANABEN", "", None, "\ud800", "C0LANE0")
            made["container"]["channel_id"] = random.choice(ids)
            return made, False
        case 6:
            made["container"] = random.choice(
                (
                    {},
                    None,
                    [],
                    {"type": "message", "is_ephemeral": True},
                    {"type": "message", "message_ts": "1.1", "is_ephemeral": "yes"},
                    {**made["container"], "is_ephemeral": 1, "message_ts": "forged"},
                    {**made["container"], "message_ts": "\ud800"},
                    {"type": "view", "view_id": "V0NONE"},
                )
            )
            return made, False
        case 7:
            made["trigger_id"] = random.choice(("", "1.2.x", None, "\ud800", 0))
            return made, False
        case 8:
            made["actions"] = random.choice(
                ([], None, {}, [None], [[]], [{}], [action, action], "x", [{"action_id": 1}])
            )
            return made, False
        case _:
            for _ in range(random.randint(1, 4)):
                made = making.broken(random, made)
            return made, False


async def something_to_press(
    rig: Rig, lane: Lane, random: Random
) -> tuple[Message | View, Element]:
    """Something that the bot has posted; if there is nothing, a command is typed first."""
    state = rig.slack.state
    while True:
        views = [view for user in lane.people.values() for view in state.views_of(user.id)]
        found: list[tuple[Message | View, Element]] = [
            (view, element) for view in views for element in elements(view.body["blocks"])
        ]
        for message in state.messages(lane.channel.id):
            found += ((message, element) for element in elements(list(message.blocks)))
        if found and random.random() < 0.9:
            return random.choice(found)
        await rig.command(lane.people["ana"], lane.channel, known(random, rig.world))


async def submission(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """A form that somebody submits, with metadata, text and channel that no form has had."""
    state = rig.slack.state
    user = lane.people[random.choice(("ana", "ben", "cora", "ida", "vera", "sam", "olga"))]
    forms = ("home.asked", "pg_sessions_here", "pg_kill_here", "sessions.kill_reason", "home", "x")
    channel = random.choice((lane.channel.id, lane.channel.id, "C0SHARED", "", "<!here>", None))
    typed = {"type": "plain_text_input", "value": form_text(random, rig.world)}
    chosen = {"type": "conversations_select", "selected_conversation": channel}
    url = state.new_response_url(lane.channel.id, user.id, None)
    here = [lane.channel.id, lane.channel.name, "", False, f"{rig.slack.server.base_url}/x"]
    payload: Json = {
        "type": "view_submission",
        "user": {"id": user.id, "team_id": user.team_id},
        "team": {"id": "T0ACME"},
        "view": {
            "id": "V0",
            "type": "modal",
            "callback_id": random.choice(forms),
            "private_metadata": random.choice(
                (*making.METADATA, *("/pg-sessions", "/pg-kill", json.dumps(here)) * 12)
            ),
            "state": {
                "values": {
                    "request": {"request": typed},
                    "channel": {"channel": chosen},
                }
            },
        },
        "response_urls": [
            {
                "channel_id": lane.channel.id,
                "response_url": f"{rig.slack.server.base_url}/app/T0ACME/{url.secret}",
            }
        ]
        * random.randint(0, 1),
    }
    for _ in range(random.choice((0, 0, 1, 2))):
        payload = making.broken(random, payload)
    tell(str(payload)[:600])
    status = await post.payload(payload)
    assert status == 200 or refused(status), status


def form_text(random: Random, world: World) -> str:
    """What somebody types into a form: with or without the command's name."""
    if random.random() < 0.5:
        return making.command(random, world.names, world.pids).partition(" ")[2]
    typed = known(random, world)
    return random.choice((typed, typed.partition(" ")[2]))


async def opening(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """Somebody opens their Home tab, or uses a shortcut; or nearly."""
    state = rig.slack.state
    user = lane.people[random.choice(("ana", "cora", "ida", "vera", "sam", "olga"))]
    event = {"type": "app_home_opened", "user": user.id, "channel": "D0X", "tab": "home"}
    url = state.new_response_url(lane.channel.id, user.id, None)
    used: Json = {
        "type": "message_action",
        "callback_id": random.choice(("pg_sessions_here", "pg_kill_here", "/pg-kill", "x")),
        "user": {"id": user.id, "team_id": user.team_id},
        "channel": {"id": lane.channel.id, "name": lane.channel.name},
        "message": {"ts": "1.1", "text": making.MARK},
        "trigger_id": state.new_trigger(user.id).id,
        "response_url": f"{rig.slack.server.base_url}/app/T0ACME/{url.secret}",
    }
    payload: Json = random.choice(({"type": "event_callback", "event": event}, used))
    for _ in range(random.choice((0, 0, 1, 2))):
        payload = making.broken(random, payload)
    tell(str(payload)[:600])
    status = await post.payload(payload)
    assert status == 200 or refused(status), status


async def other_payload(rig: Rig, lane: Lane, random: Random, tell: Tell, post: Post) -> None:
    """A payload that no listener handles."""
    payload: Json = {
        "type": random.choice(
            (
                *("view_submission", "view_closed", "shortcut", "message_action"),
                *("block_suggestion", "event_callback", "workflow_step_edit", "nothing", ""),
                *(
                    "interactive_message",
                    "dialog_submission",
                    "function_executed",
                    "app_rate_limited",
                ),
            )
        ),
        "user": {"id": lane.people["ana"].id, "team_id": "T0ACME"},
        "team": {"id": "T0ACME"},
        "callback_id": random.choice(("session", making.MARK, "")),
        "view": {"id": "V0", "callback_id": "session", "private_metadata": "", "type": "modal"},
        "event": {"type": random.choice(("message", "app_mention")), "text": making.MARK},
    }
    for _ in range(random.randint(0, 2)):
        payload = making.broken(random, payload)
    tell(str(payload)[:600])
    status = await post.payload(payload)
    assert status == 200 or refused(status), status


POSTS = (
    *(click,) * 5,
    *(command_form,) * 3,
    *(submission,) * 3,
    *(opening,) * 2,
    *(other_payload, other_payload, no_payload, no_payload, not_from_slack, no_http),
)
