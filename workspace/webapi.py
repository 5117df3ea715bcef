"""Slack's Web API without its transport: a method's name, a token and arguments make a reply.

This module is long because each method of Slack's stands in it once, with Slack's own checks.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from workspace.blocks import Json
from workspace.faults import Fault, Faults, RateLimited, RateLimits
from workspace.payloads import (
    CREATED,
    channel_payload,
    group_payload,
    message_payload,
    user_payload,
    view_payload,
)
from workspace.rules import (
    POST_CHARACTERS,
    READ_SCOPES,
    UPDATE_CHARACTERS,
    VIEW_STACK,
    Refused,
    channel_of_bot,
    channel_to_post,
    channel_to_read,
    channel_to_recall,
    channel_to_see,
    checked_content,
    checked_metadata,
    checked_view,
    fresh_trigger,
    need_scope,
    new_external_id,
    own_message,
    problems_of,
    view_to_change,
)
from workspace.state import ApiCall, ChannelKind, Message, State
from workspace.threads import delete, is_begun, parent_of, permalink


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the Web API, before it becomes HTTP."""

    body: Json
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Method:
    """One method: who may call it, which arguments it requires, and what it does."""

    run: Callable[[Json], Json]
    scopes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    token: str = "bot"


class WebApi:
    """The methods, for one state. `socket_url` returns the address for a new connection."""

    def __init__(self, state: State, faults: Faults, socket_url: Callable[[], str]) -> None:
        self._state = state
        self._faults = faults
        self._limits = RateLimits()
        self._socket_url = socket_url
        self._methods = {
            "api.test": Method(self._api_test, token="any"),
            "auth.test": Method(self._auth_test),
            "auth.teams.list": Method(self._auth_teams_list),
            "bots.info": Method(self._bots_info, ("users:read",)),
            "blocks.validate": Method(self._blocks_validate, token="none"),
            "apps.connections.open": Method(self._connections_open, token="app"),
            "chat.postMessage": Method(self._post_message, ("chat:write",), ("channel",)),
            "chat.postEphemeral": Method(
                self._post_ephemeral, ("chat:write",), ("channel", "user")
            ),
            "chat.update": Method(self._update, ("chat:write",), ("channel", "ts")),
            "chat.getPermalink": Method(self._get_permalink, required=("channel", "message_ts")),
            "chat.delete": Method(self._delete, ("chat:write",), ("channel", "ts")),
            "conversations.history": Method(self._conversations_history, required=("channel",)),
            "conversations.replies": Method(
                self._conversations_replies, required=("channel", "ts")
            ),
            "conversations.info": Method(self._conversations_info, required=("channel",)),
            "conversations.list": Method(self._conversations_list),
            "conversations.members": Method(self._conversations_members, required=("channel",)),
            "users.info": Method(self._users_info, ("users:read",), ("user",)),
            "users.list": Method(self._users_list, ("users:read",)),
            "usergroups.list": Method(self._usergroups_list, ("usergroups:read",)),
            "usergroups.users.list": Method(
                self._usergroups_users_list, ("usergroups:read",), ("usergroup",)
            ),
            "views.open": Method(self._views_open, required=("trigger_id", "view")),
            "views.push": Method(self._views_push, required=("trigger_id", "view")),
            "views.update": Method(self._views_update, required=("view",)),
            "views.publish": Method(self._views_publish, required=("user_id", "view")),
        }

    def call(self, name: str, token: str | None, args: Json, fault: Fault | None = None) -> Reply:
        """Answer a call and record it. If there is a `fault`, it happens instead."""
        reply = self._answer(name, token, args, fault)
        self._state.record_call(
            ApiCall(
                method=name,
                args={k: v for k, v in args.items() if k != "token"},
                status=reply.status,
                error=reply.body.get("error"),
                response=_masked(reply.body),
            )
        )
        return reply

    def _answer(self, name: str, token: str | None, args: Json, fault: Fault | None) -> Reply:
        if fault is not None and fault.how in {"rate_limit", "fail", "refuse"}:
            return reply_of_fault(fault)
        headers = {"x-slack-req-id": self._state.new_hash()}
        try:
            method = self._admitted(name, token, args, headers)
            body = {"ok": True, **method.run(args)}
            if fault is not None and fault.how == "leave_out":
                body = _without(body, fault.path.split("."))
            return Reply(body, headers=headers)
        except RateLimited as limited:
            return _rate_limited(limited.seconds)
        except Refused as refused:
            return Reply(refused.body(), headers=headers)

    def _admitted(
        self, name: str, token: str | None, args: Json, headers: dict[str, str]
    ) -> Method:
        """The method, once token, scopes, rate limit and required arguments are right."""
        method = self._methods.get(name)
        if method is None:
            raise Refused("unknown_method", more={"req_method": name})
        self._authenticate(method, token)
        headers["x-oauth-scopes"] = self._granted(token)
        if method.scopes:
            headers["x-accepted-oauth-scopes"] = ",".join(method.scopes)
            need_scope(self._state, *method.scopes)
        if self._faults.rate_limits:
            self._limits.count(name, str(args.get("channel", "")), self._state.clock.now())
        missing = [each for each in method.required if args.get(each) in (None, "")]
        if missing:
            raise Refused(
                "invalid_arguments", [f"missing required field: {each}" for each in missing]
            )
        return method

    def _authenticate(self, method: Method, token: str | None) -> None:
        app = self._state.app
        if method.run == self._api_test or method.token == "none":
            return
        if not token:
            raise Refused("not_authed")
        kind = {app.bot_token: "bot", app.app_token: "app"}.get(token)
        if kind is None:
            raise Refused("invalid_auth")
        if method.token not in {kind, "any"}:
            raise Refused("not_allowed_token_type")

    def _granted(self, token: str | None) -> str:
        if token == self._state.app.app_token:
            return "connections:write"
        return ",".join(sorted(self._state.scopes))

    # api, auth, apps

    def _api_test(self, args: Json) -> Json:
        if args.get("error"):
            raise Refused(str(args["error"]))
        return {"args": {k: v for k, v in args.items() if k != "token"}} if args else {}

    def _auth_test(self, args: Json) -> Json:
        del args
        state = self._state
        enterprise_id = state.team.enterprise_id
        is_org_wide = state.granted_to is not None
        return {
            "url": state.team.url,
            "team": enterprise_id if is_org_wide else state.team.name,
            "user": state.users[state.app.user_id].name,
            "team_id": enterprise_id if is_org_wide else state.team.id,
            "user_id": state.app.user_id,
            "bot_id": state.app.bot_id,
            "is_enterprise_install": is_org_wide,
            **({"enterprise_id": enterprise_id} if enterprise_id else {}),
        }

    def _auth_teams_list(self, args: Json) -> Json:
        if self._state.granted_to is None:
            raise Refused("not_allowed_token_type")
        teams = [self._state.teams[each] for each in self._state.granted_to]
        return _page(args, "teams", [{"id": team.id, "name": team.name} for team in teams])

    def _team_of(self, args: Json) -> str:
        """The workspace that is asked about, which only an organization's token has to name."""
        state, team_id = self._state, str(args.get("team_id") or "")
        if state.granted_to is None:
            return state.team.id
        if not team_id:
            raise Refused("missing_argument")
        if team_id not in state.granted_to:
            raise Refused("team_access_not_granted")
        return team_id

    def _bots_info(self, args: Json) -> Json:
        app = self._state.app
        if args.get("bot") not in (None, "", app.bot_id):
            raise Refused("bot_not_found")
        if not args.get("bot"):
            return {}
        return {
            "bot": {
                "id": app.bot_id,
                "deleted": False,
                "name": app.name,
                "updated": CREATED,
                "app_id": app.id,
                "user_id": app.user_id,
                "icons": {},
            }
        }

    def _connections_open(self, args: Json) -> Json:
        del args
        return {"url": self._socket_url()}

    # blocks

    def _blocks_validate(self, args: Json) -> Json:
        """Whether exactly one of `blocks`, `message` and `view` would be accepted."""
        given = [name for name in ("blocks", "message", "view") if args.get(name) is not None]
        if len(given) != 1:
            raise Refused("invalid_arguments", ["provide exactly one of blocks, message, view"])
        problems = problems_of(given[0], args[given[0]], self._faults.blocks_refused)
        if problems:
            raise Refused(f"invalid_{given[0]}", more={"errors": problems})
        return {}

    # chat

    def _post_message(self, args: Json) -> Json:
        state = self._state
        channel = channel_to_post(state, str(args["channel"]))
        content = checked_content(
            args, ephemeral=False, refused=self._faults.blocks_refused, characters=None
        )
        thread_ts = parent_of(state, channel.id, args.get("thread_ts"))
        message = state.post(
            Message(
                channel=channel.id,
                ts=state.new_ts(),
                user=state.app.user_id,
                text=content.text or "",
                blocks=content.blocks or (),
                attachments=content.attachments or (),
                thread_ts=thread_ts,
                broadcast=thread_ts is not None and _flag(args, "reply_broadcast"),
                metadata=checked_metadata(args.get("metadata")),
                link_names=_flag(args, "link_names") or args.get("parse") == "full",
            )
        )
        return {
            "channel": channel.id,
            "ts": message.ts,
            "message": message_payload(message, state),
        }

    def _post_ephemeral(self, args: Json) -> Json:
        state = self._state
        channel = channel_of_bot(state, str(args["channel"]))
        if str(args["user"]) not in channel.members:
            raise Refused("user_not_in_channel")
        content = checked_content(
            args,
            ephemeral=True,
            refused=self._faults.blocks_refused,
            characters=POST_CHARACTERS,
        )
        message = Message(
            channel=channel.id,
            ts=state.new_ts(),
            user=state.app.user_id,
            text=content.text or "",
            blocks=content.blocks or (),
            attachments=content.attachments or (),
            thread_ts=parent_of(state, channel.id, args.get("thread_ts")),
            receiver=str(args["user"]),
        )
        if message.thread_ts is None or is_begun(state, channel.id, message.thread_ts):
            state.post(message)
        return {"message_ts": message.ts}

    def _update(self, args: Json) -> Json:
        state = self._state
        message = own_message(state, str(args["channel"]), str(args["ts"]), "cant_update_message")
        if state.channels[message.channel].is_archived:
            raise Refused("is_inactive")
        content = checked_content(
            args,
            ephemeral=False,
            refused=self._faults.blocks_refused,
            characters=UPDATE_CHARACTERS,
        )
        # Text without blocks removes the old blocks; blocks don't mark a message as edited.
        blocks = content.blocks
        if blocks is None:
            blocks = () if content.text is not None else message.blocks
        message = state.change(
            replace(
                message,
                text=message.text if content.text is None else content.text,
                blocks=blocks,
                attachments=message.attachments
                if content.attachments is None
                else content.attachments,
                edited_ts=message.edited_ts if blocks else state.new_ts(),
                link_names=_flag(args, "link_names") or args.get("parse") == "full",
            )
        )
        return {
            "channel": message.channel,
            "ts": message.ts,
            "text": message.text,
            "message": message_payload(message, state),
        }

    def _delete(self, args: Json) -> Json:
        message = own_message(
            self._state, str(args["channel"]), str(args["ts"]), "cant_delete_message"
        )
        delete(self._state, message)
        return {"channel": message.channel, "ts": message.ts}

    def _get_permalink(self, args: Json) -> Json:
        channel = channel_to_see(self._state, str(args["channel"]))
        message = self._state.message(channel.id, str(args["message_ts"]))
        if message is None or message.is_ephemeral:
            raise Refused("message_not_found")
        return {"channel": channel.id, "permalink": permalink(message, self._state)}

    # conversations, users, usergroups

    def _conversations_info(self, args: Json) -> Json:
        channel = channel_to_read(self._state, str(args["channel"]))
        made = channel_payload(channel, self._state)
        if _flag(args, "include_num_members"):
            made["num_members"] = len(channel.members)
        return {"channel": made}

    def _conversations_history(self, args: Json) -> Json:
        """The newest first, without what stands in threads."""
        return self._recalled(args, lambda each: each.thread_ts in {None, each.ts}, newest=True)

    def _conversations_replies(self, args: Json) -> Json:
        """The oldest first, with the message that the thread belongs to."""
        ts = str(args["ts"])
        if self._state.message(str(args["channel"]), ts) is None:
            raise Refused("thread_not_found")
        return self._recalled(args, lambda each: ts in {each.ts, each.thread_ts}, newest=False)

    def _recalled(self, args: Json, wanted: Callable[[Message], bool], *, newest: bool) -> Json:
        channel = channel_to_recall(self._state, str(args["channel"]))
        found = []
        for message in self._state.messages(channel.id):
            if message.is_ephemeral or not wanted(message):
                continue
            made = message_payload(message, self._state)
            if message.metadata is not None and _flag(args, "include_all_metadata"):
                made["metadata"] = message.metadata
            found.append(made)
        return _page(args, "messages", reversed(found) if newest else found)

    def _conversations_list(self, args: Json) -> Json:
        state = self._state
        kinds = str(args.get("types") or "public_channel").split(",")
        known: dict[str, ChannelKind] = {
            "public_channel": "public",
            "private_channel": "private",
            "mpim": "mpim",
            "im": "im",
        }
        for kind in kinds:
            if kind not in known:
                raise Refused("invalid_types")
            need_scope(state, READ_SCOPES[known[kind]])
        wanted = {known[kind] for kind in kinds}
        found = [
            channel_payload(channel, state)
            for channel in state.channels.values()
            if channel.kind in wanted
            and (channel.kind == "public" or state.bot_is_in(channel))
            and not (_flag(args, "exclude_archived") and channel.is_archived)
        ]
        return _page(args, "channels", found)

    def _conversations_members(self, args: Json) -> Json:
        channel = channel_to_read(self._state, str(args["channel"]))
        return _page(args, "members", sorted(channel.members))

    def _users_info(self, args: Json) -> Json:
        user = self._state.users.get(str(args["user"]))
        if user is None:
            raise Refused("user_not_found")
        return {"user": user_payload(user, self._state)}

    def _users_list(self, args: Json) -> Json:
        every = [user_payload(user, self._state) for user in self._state.users.values()]
        return {**_page(args, "members", every), "cache_ts": int(self._state.clock.now())}

    def _usergroups_list(self, args: Json) -> Json:
        team_id = self._team_of(args)
        return {
            "usergroups": [
                group_payload(
                    group,
                    self._state,
                    users=_flag(args, "include_users"),
                    count=_flag(args, "include_count"),
                )
                for group in self._state.groups.values()
                if (group.team_id or self._state.team.id) == team_id
                if group.enabled or _flag(args, "include_disabled")
            ]
        }

    def _usergroups_users_list(self, args: Json) -> Json:
        team_id = self._team_of(args)
        group = self._state.groups.get(str(args["usergroup"]))
        if group is not None and (group.team_id or self._state.team.id) != team_id:
            raise Refused("no_such_subteam")
        if group is None or not (group.enabled or _flag(args, "include_disabled")):
            raise Refused("no_such_subteam")
        return {"users": list(group.users)}

    # views

    def _views_open(self, args: Json) -> Json:
        state = self._state
        body = checked_view(args["view"], self._faults.blocks_refused)
        new_external_id(state, body)
        trigger = fresh_trigger(state, str(args["trigger_id"]))
        state.use_trigger(trigger)
        for view in reversed(state.views_of(trigger.user)):
            state.close_view(view)
        return {"view": view_payload(state.open_view(trigger.user, body, None), state)}

    def _views_push(self, args: Json) -> Json:
        state = self._state
        body = checked_view(args["view"], self._faults.blocks_refused)
        new_external_id(state, body)
        trigger = fresh_trigger(state, str(args["trigger_id"]))
        stack = state.views_of(trigger.user)
        if trigger.view_id is None or not stack:
            raise Refused("not_found")
        if len(stack) >= VIEW_STACK:
            raise Refused("push_limit_reached")
        state.use_trigger(trigger)
        return {"view": view_payload(state.open_view(trigger.user, body, stack[-1]), state)}

    def _views_update(self, args: Json) -> Json:
        state = self._state
        body = checked_view(args["view"], self._faults.blocks_refused)
        view = view_to_change(state, args)
        new_external_id(state, body, view)
        return {"view": view_payload(state.change_view(view, body), state)}

    def _views_publish(self, args: Json) -> Json:
        state = self._state
        if not state.app.home_tab:
            raise Refused("not_enabled")
        body = checked_view(args["view"], self._faults.blocks_refused, home=True)
        user = state.users.get(str(args["user_id"]))
        if user is None or user.is_bot:
            raise Refused("invalid_arguments", ["invalid `user_id`"])
        before = state.home(user.id)
        if before is not None and args.get("hash") not in (None, "", before.hash):
            raise Refused("hash_conflict")
        new_external_id(state, body)
        return {"view": view_payload(state.publish_home(user.id, body), state)}


def _flag(args: Json, name: str) -> bool:
    return str(args.get(name, "")).lower() in {"true", "1"}


def _page(args: Json, name: str, items: Iterable[object]) -> Json:
    """A page of `items`: the cursor is the number of items before it."""
    try:
        limit = int(args.get("limit") or 100)
        start = int(args.get("cursor") or 0)
    except ValueError:
        raise Refused("invalid_cursor") from None
    if not 0 < limit <= 1000:
        raise Refused("invalid_limit")
    page = list(islice(items, start, start + limit + 1))
    more = str(start + limit) if len(page) > limit else ""
    return {name: page[:limit], "response_metadata": {"next_cursor": more}}


def reply_of_fault(fault: Fault) -> Reply:
    """The answer that a `rate_limit`, a `fail` or a `refuse` causes."""
    if fault.how == "rate_limit":
        return _rate_limited(int(fault.seconds))
    return Reply({"ok": False, "error": fault.error}, fault.status)


def _rate_limited(seconds: int) -> Reply:
    return Reply({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(seconds)})


def _without(body: Json, path: list[str]) -> Json:
    """An answer without one of its fields, or without a field of an object in it."""
    name, *within = path
    if within:
        return {**body, name: _without(body[name], within)}
    return {key: value for key, value in body.items() if key != name}


def _masked(body: Json) -> Json:
    """The answer without its ticket for a socket."""
    return {**body, "url": "…"} if "ticket=" in str(body.get("url", "")) else body
