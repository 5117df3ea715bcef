"""What Slack sends to an app, and the objects that it returns. Pure.

This module is long because each shape that Slack's reference has is written out once, here.
"""

import time
from collections.abc import Iterator

from workspace.block_elements import options_of
from workspace.blocks import Element, Json, elements
from workspace.state import (
    Channel,
    Message,
    Shortcut,
    State,
    Trigger,
    User,
    UserGroup,
    View,
)
from workspace.threads import thread_fields

CREATED = 1_700_000_000


def message_payload(message: Message, state: State) -> Json:
    """A message, as the Web API and a click carry it."""
    made: Json = {
        "type": "message",
        "user": message.user,
        "ts": message.ts,
        "text": message.text,
        "team": state.team.id,
    }
    if message.user == state.app.user_id:
        made |= {
            "bot_id": state.app.bot_id,
            "app_id": state.app.id,
            "bot_profile": {
                "id": state.app.bot_id,
                "app_id": state.app.id,
                "name": state.app.name,
                "deleted": False,
                "team_id": state.team.id,
            },
        }
    if message.blocks:
        made["blocks"] = list(message.blocks)
    if message.attachments:
        made["attachments"] = list(message.attachments)
    made |= thread_fields(message, state)
    if message.edited_ts is not None:
        made["edited"] = {"user": message.user, "ts": message.edited_ts}
    return made


def view_payload(view: View, state: State) -> Json:
    """A modal with what has been typed into it, or a Home tab."""
    body = view.body
    return {
        "id": view.id,
        "team_id": state.team.id,
        "type": body["type"],
        "blocks": body["blocks"],
        "private_metadata": body.get("private_metadata", ""),
        "callback_id": body.get("callback_id", ""),
        "state": {"values": state_values(body["blocks"], view.id, view.user, state)},
        "hash": view.hash,
        **({"title": body["title"]} if "title" in body else {}),
        "clear_on_close": body.get("clear_on_close", False),
        "notify_on_close": body.get("notify_on_close", False),
        "close": body.get("close"),
        "submit": body.get("submit"),
        "previous_view_id": view.previous_id,
        "root_view_id": view.root_id,
        "app_id": state.app.id,
        "external_id": body.get("external_id", ""),
        "app_installed_team_id": state.team.id,
        "bot_id": state.app.bot_id,
    }


def channel_payload(channel: Channel, state: State) -> Json:
    """A conversation, as conversations.info describes it."""
    if channel.kind == "im":
        person = next(iter(channel.members - {state.app.user_id}))
        return {
            "id": channel.id,
            "created": CREATED,
            "is_archived": channel.is_archived,
            "is_im": True,
            "is_org_shared": False,
            "context_team_id": state.team.id,
            "user": person,
        }
    public = channel.kind == "public"
    shared = channel.is_ext_shared or bool(channel.org_team_ids)
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": public,
        "is_group": not public,
        "is_im": False,
        "is_mpim": channel.kind == "mpim",
        "is_private": not public,
        "created": CREATED,
        "creator": state.app.user_id,
        "is_archived": channel.is_archived,
        "is_general": False,
        "is_shared": shared,
        "is_ext_shared": channel.is_ext_shared,
        "is_org_shared": bool(channel.org_team_ids),
        "is_pending_ext_shared": channel.is_pending_ext_shared,
        "pending_shared": [],
        "context_team_id": state.team.id,
        "shared_team_ids": [state.team.id, *channel.connected_team_ids, *channel.org_team_ids],
        "connected_team_ids": list(channel.connected_team_ids),
        "is_member": state.bot_is_in(channel),
        "is_read_only": not channel.may_post(state.app.user_id),
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def user_payload(user: User, state: State) -> Json:
    """A person, as users.info describes them; for another workspace's, it says so."""
    enterprise_id = state.teams[user.team_id].enterprise_id
    made: Json = {
        "id": user.id,
        "team_id": user.team_id,
        "name": user.name,
        "deleted": user.deleted,
        "real_name": user.real_name,
        "tz": "Etc/UTC",
        "tz_label": "Coordinated Universal Time",
        "tz_offset": 0,
        "profile": {
            "real_name": user.real_name,
            "display_name": user.name,
            "real_name_normalized": user.real_name,
            "display_name_normalized": user.name,
            "team": user.team_id,
        },
        "is_admin": user.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": user.is_restricted or user.is_ultra_restricted,
        "is_ultra_restricted": user.is_ultra_restricted,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": CREATED,
    }
    if not state.is_own(user):
        made |= {"is_stranger": False}
    if enterprise_id:
        made["enterprise_user"] = {
            "id": user.id,
            "enterprise_id": enterprise_id,
            "enterprise_name": enterprise_id,
            "is_admin": False,
            "is_owner": False,
            "teams": [user.team_id],
        }
    return made


def group_payload(group: UserGroup, state: State, *, users: bool, count: bool) -> Json:
    """A user group, as usergroups.list describes it."""
    made: Json = {
        "id": group.id,
        "team_id": group.team_id or state.team.id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.name,
        "description": "",
        "handle": group.handle,
        "is_external": False,
        "date_create": CREATED,
        "date_update": CREATED,
        "date_delete": 0 if group.enabled else CREATED,
        "auto_type": group.auto_type,
        "created_by": "USLACKBOT",
        "updated_by": group.updated_by,
        "deleted_by": None if group.enabled else group.updated_by,
        "is_membership_locked": group.is_membership_locked,
        "prefs": {"channels": [], "groups": []},
        "user_count": len(group.users),
    }
    if group.is_editing_restricted is not None:
        made["is_editing_restricted"] = group.is_editing_restricted
    if users:
        made["users"] = list(group.users)
    if not count:
        del made["user_count"]
    return made


def escaped(text: str) -> str:
    """Text as Slack passes it on: `&`, `<` and `>` as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def channel_name(channel: Channel) -> str:
    """The name that a command or a click carries; a private channel's name isn't revealed."""
    return {"private": "privategroup", "im": "directmessage"}.get(channel.kind, channel.name)


def command_payload(
    *,
    state: State,
    user: User,
    channel: Channel,
    command: str,
    text: str,
    response_url: str,
    trigger: Trigger,
) -> Json:
    """A slash command. All values are text, as in the form that HTTP mode sends."""
    # An organization's app is told the workspace of the person who typed.
    team = state.team if state.granted_to is None else state.teams[user.team_id]
    return {
        "token": state.app.verification_token,
        "team_id": team.id,
        "team_domain": team.domain,
        "channel_id": channel.id,
        "channel_name": channel_name(channel),
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": escaped(text.strip()),
        "api_app_id": state.app.id,
        "is_enterprise_install": "false" if state.granted_to is None else "true",
        "response_url": response_url,
        "trigger_id": trigger.id,
        **({"enterprise_id": state.team.enterprise_id} if state.team.enterprise_id else {}),
    }


def _interaction(kind: str, *, state: State, user: User) -> Json:
    return {
        "type": kind,
        "user": {
            "id": user.id,
            "username": user.name,
            "name": user.name,
            "team_id": user.team_id,
        },
        "api_app_id": state.app.id,
        "token": state.app.verification_token,
        "team": {"id": state.team.id, "domain": state.team.domain},
        "enterprise": {"id": state.team.enterprise_id, "name": state.team.enterprise_id}
        if state.team.enterprise_id
        else None,
        "is_enterprise_install": state.granted_to is not None,
    }


def message_click_payload(
    *,
    state: State,
    user: User,
    message: Message,
    element: Element,
    chosen: Json,
    response_url: str,
    trigger: Trigger,
) -> Json:
    """A click in a message. For an ephemeral message there is no `message`."""
    channel = state.channels[message.channel]
    made = _interaction("block_actions", state=state, user=user)
    made["container"] = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": message.is_ephemeral,
        **({"thread_ts": message.thread_ts} if message.thread_ts else {}),
    }
    made["trigger_id"] = trigger.id
    made["channel"] = {"id": channel.id, "name": channel_name(channel)}
    if not message.is_ephemeral:
        made["message"] = message_payload(message, state)
    blocks = list(message.blocks)
    made["state"] = {"values": state_values(blocks, message.ts, user.id, state)}
    made["response_url"] = response_url
    made["actions"] = [action_payload(element, chosen)]
    return made


def message_shortcut_payload(
    *,
    state: State,
    user: User,
    message: Message,
    shortcut: Shortcut,
    response_url: str,
    trigger: Trigger,
) -> Json:
    """A message shortcut, with the whole message on which it was used."""
    channel = state.channels[message.channel]
    return {
        **_interaction("message_action", state=state, user=user),
        "callback_id": shortcut.callback_id,
        "trigger_id": trigger.id,
        "response_url": response_url,
        "action_ts": f"{time.time():.6f}",
        "message_ts": message.ts,
        "channel": {"id": channel.id, "name": channel_name(channel)},
        "message": message_payload(message, state),
    }


def view_click_payload(
    *,
    state: State,
    user: User,
    view: View,
    element: Element,
    chosen: Json,
    trigger: Trigger,
) -> Json:
    """A click in a modal or a Home tab. It has no channel and no response_url."""
    made = _interaction("block_actions", state=state, user=user)
    made["container"] = {"type": "view", "view_id": view.id}
    made["trigger_id"] = trigger.id
    made["view"] = view_payload(view, state)
    made["actions"] = [action_payload(element, chosen)]
    return made


def view_submission_payload(
    *, state: State, user: User, view: View, trigger: Trigger, response_urls: list[Json]
) -> Json:
    """A modal that was submitted; `response_urls` are for the conversations chosen in it."""
    made = _interaction("view_submission", state=state, user=user)
    made["trigger_id"] = trigger.id
    made["view"] = view_payload(view, state)
    made["response_urls"] = response_urls
    return made


def home_opened_payload(*, state: State, user: User, channel: Channel, ts: str) -> Json:
    """The event of a person who opened the Home tab; `channel` is theirs with the bot."""
    home = state.home(user.id)
    event: Json = {
        "type": "app_home_opened",
        "user": user.id,
        "channel": channel.id,
        "tab": "home",
        "event_ts": ts,
    }
    if home is not None:
        event["view"] = view_payload(home, state)
    enterprise_id = state.team.enterprise_id or None
    return {
        "token": state.app.verification_token,
        "team_id": state.team.id,
        "enterprise_id": enterprise_id,
        "api_app_id": state.app.id,
        "event": event,
        "type": "event_callback",
        "event_id": state.new_id("Ev"),
        "event_time": int(float(ts)),
        "authorizations": [
            {
                "enterprise_id": enterprise_id,
                "team_id": state.team.id,
                "user_id": state.app.user_id,
                "is_bot": True,
                "is_enterprise_install": state.granted_to is not None,
            }
        ],
        "is_ext_shared_channel": False,
    }


def view_closed_payload(*, state: State, user: User, view: View, cleared: bool) -> Json:
    """A modal that a person closed, for an app that asked to be notified."""
    made = _interaction("view_closed", state=state, user=user)
    made["view"] = view_payload(view, state)
    made["is_cleared"] = cleared
    return made


def action_payload(element: Element, chosen: Json) -> Json:
    """The entry of `actions`: the element, and what was chosen in it."""
    made: Json = {
        "action_id": element.action_id,
        "block_id": element.block_id,
        "type": element.type,
        "action_ts": f"{time.time():.6f}",
    }
    for name in ("text", "value", "style", "url"):
        if element.type == "button" and name in element.element:
            made[name] = element.element[name]
    for name in ("placeholder", "initial_option", "confirm"):
        if name in element.element:
            made[name] = element.element[name]
    return {**made, **chosen}


def initial_value(element: Element) -> Json | None:
    """The state of an untouched input; None for elements without a state, such as buttons."""
    raw = element.element
    match element.type:
        case "button" | "overflow":
            return None
        case "checkboxes":
            return {"type": element.type, "selected_options": raw.get("initial_options", [])}
        case "multi_static_select" | "multi_external_select":
            return {"type": element.type, "selected_options": raw.get("initial_options", [])}
        case "static_select" | "external_select" | "radio_buttons":
            return {"type": element.type, "selected_option": raw.get("initial_option")}
        case "users_select":
            return {"type": element.type, "selected_user": raw.get("initial_user")}
        case "conversations_select":
            return {
                "type": element.type,
                "selected_conversation": raw.get("initial_conversation"),
            }
        case "channels_select":
            return {"type": element.type, "selected_channel": raw.get("initial_channel")}
        case "datepicker":
            return {"type": element.type, "selected_date": raw.get("initial_date")}
        case "timepicker":
            return {"type": element.type, "selected_time": raw.get("initial_time")}
        case _:
            return {"type": element.type, "value": raw.get("initial_value")}


def state_values(blocks: list[Json], where: str, user_id: str, state: State) -> Json:
    """`state.values`: every input by block_id and action_id, touched or not."""
    touched = state.inputs(where, user_id)
    values: Json = {}
    for element in elements(blocks):
        key = (element.block_id, element.action_id)
        value = touched.get(key, initial_value(element))
        if value is not None:
            values.setdefault(element.block_id, {})[element.action_id] = value
    return values


def missing_inputs(view: View, state: State) -> Iterator[Element]:
    """The inputs of a modal without which Slack doesn't submit it."""
    touched = state.inputs(view.id, view.user)
    for element in elements(view.body["blocks"]):
        if element.block["type"] == "input" and not element.block.get("optional"):
            key = (element.block_id, element.action_id)
            value = touched.get(key, initial_value(element) or {})
            if not any(inner for name, inner in value.items() if name != "type"):
                yield element


def choice(element: Element, option_text: str) -> Json:
    """The option of a menu whose text contains these words. LookupError if there is none."""
    found = [
        each
        for each in options_of(element.element)
        if option_text.casefold() in str(each["text"]["text"]).casefold()
    ]
    if not found:
        offered = ", ".join(repr(each["text"]["text"]) for each in options_of(element.element))
        raise LookupError(f"no option with {option_text!r}; there are {offered}")
    return found[0]
