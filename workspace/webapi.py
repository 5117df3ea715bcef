"""Slack's Web API without its transport: a method's name, a token and arguments give a reply."""

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
    checked_content,
    checked_view,
    fresh_trigger,
    need_scope,
    new_external_id,
    own_message,
    view_to_change,
)
from workspace.state import ApiCall, ChannelKind, Message, State


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the Web API, before it becomes HTTP."""

    body: Json
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Method:
    """One method: who may call it, what it must be given, and what it does."""

    run: Callable[[Json], Json]
    scopes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    token: str = "bot"


class WebApi:
    """The methods, over one state. `socket_url` gives the address for a new connection."""

    def __init__(self, state: State, faults: Faults, socket_url: Callable[[], str]) -> None:
        self._state = state
        self._faults = faults
        self._limits = RateLimits()
        self._socket_url = socket_url
        self._methods = {
            "api.test": Method(self._api_test, token="any"),
            "auth.test": Method(self._auth_test),
            "bots.info": Method(self._bots_info, ("users:read",)),
            "apps.connections.open": Method(self._connections_open, token="app"),
            "chat.postMessage": Method(self._post_message, ("chat:write",), ("channel",)),
            "chat.postEphemeral": Method(
                self._post_ephemeral, ("chat:write",), ("channel", "user")
            ),
            "chat.update": Method(self._update, ("chat:write",), ("channel", "ts")),
            "chat.delete": Method(self._delete, ("chat:write",), ("channel", "ts")),
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
        }

    def call(self, name: str, token: str | None, args: Json, fault: Fault | None = None) -> Reply:
        """Answer a call and record it. `fault` is what befalls it instead of an answer."""
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
        if method.run == self._api_test:
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
        return {
            "url": f"https://{state.team.domain}.slack.com/",
            "team": state.team.name,
            "user": state.users[state.app.user_id].name,
            "team_id": state.team.id,
            "user_id": state.app.user_id,
            "bot_id": state.app.bot_id,
            "is_enterprise_install": state.is_enterprise_install,
            **({"enterprise_id": state.team.enterprise_id} if state.team.enterprise_id else {}),
        }

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

    # chat

    def _post_message(self, args: Json) -> Json:
        state = self._state
        channel = channel_to_post(state, str(args["channel"]))
        content = checked_content(
            args, ephemeral=False, refused=self._faults.blocks_refused, characters=None
        )
        message = state.post(
            Message(
                channel=channel.id,
                ts=state.new_ts(),
                user=state.app.user_id,
                text=content.text or "",
                blocks=content.blocks or (),
                attachments=content.attachments or (),
                thread_ts=args.get("thread_ts"),
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
        message = state.post(
            Message(
                channel=channel.id,
                ts=state.new_ts(),
                user=state.app.user_id,
                text=content.text or "",
                blocks=content.blocks or (),
                attachments=content.attachments or (),
                thread_ts=args.get("thread_ts"),
                receiver=str(args["user"]),
            )
        )
        return {"message_ts": message.ts}

    def _update(self, args: Json) -> Json:
        state = self._state
        message = own_message(state, str(args["channel"]), str(args["ts"]), "cant_update_message")
        content = checked_content(
            args,
            ephemeral=False,
            refused=self._faults.blocks_refused,
            characters=UPDATE_CHARACTERS,
        )
        # Text without blocks takes the old blocks away; blocks leave no mark of an edit.
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
        self._state.delete(message)
        return {"channel": message.channel, "ts": message.ts}

    # conversations, users, usergroups

    def _conversations_info(self, args: Json) -> Json:
        channel = channel_to_read(self._state, str(args["channel"]))
        made = channel_payload(channel, self._state)
        if _flag(args, "include_num_members"):
            made["num_members"] = len(channel.members)
        return {"channel": made}

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
        return {
            "usergroups": [
                group_payload(
                    group,
                    self._state,
                    users=_flag(args, "include_users"),
                    count=_flag(args, "include_count"),
                )
                for group in self._state.groups.values()
                if group.enabled or _flag(args, "include_disabled")
            ]
        }

    def _usergroups_users_list(self, args: Json) -> Json:
        group = self._state.groups.get(str(args["usergroup"]))
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
    """The answer that a `rate_limit`, a `fail` or a `refuse` gives."""
    if fault.how == "rate_limit":
        return _rate_limited(int(fault.seconds))
    return Reply({"ok": False, "error": fault.error}, fault.status)


def _rate_limited(seconds: int) -> Reply:
    return Reply({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(seconds)})


def _without(body: Json, path: list[str]) -> Json:
    """An answer that lacks a field of its own, or one of an object in it."""
    name, *within = path
    if within:
        return {**body, name: _without(body[name], within)}
    return {key: value for key, value in body.items() if key != name}


def _masked(body: Json) -> Json:
    """The answer without the ticket that it gives for a socket."""
    return {**body, "url": "…"} if "ticket=" in str(body.get("url", "")) else body
