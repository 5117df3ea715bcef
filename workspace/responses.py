"""Responses to a response_url or in an acknowledgement, and their effects."""

from dataclasses import replace

from workspace.blocks import Json
from workspace.faults import Faults
from workspace.rules import (
    POST_CHARACTERS,
    Content,
    Refused,
    checked_content,
    checked_view,
    need_posting,
    usable_response_url,
)
from workspace.state import Message, State, User, View
from workspace.threads import delete, parent_of

# If Slack can't use a submission's acknowledgement, the modal stays open with this line.
TROUBLE = "We had some trouble connecting. Try again?"


class Responses:
    """Applies an app's responses to the state. Each raises `Refused` if Slack refuses it."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    def to_response_url(self, secret: str, body: Json) -> None:
        """Post, replace or delete through a response_url. A use counts once it is accepted.

        Without `replace_original` and without `response_type`, a click's message is replaced. A
        command has no message, so there is never anything to replace or delete. A replaced message
        stays as public or as ephemeral as it was. `thread_ts` counts only with `in_channel`.
        """
        state = self._state
        url = usable_response_url(state, secret)
        need_posting(state, state.channels[url.channel])
        original = state.message(url.channel, url.ts) if url.ts else None
        if _says_yes(body, "delete_original"):
            if original is not None:
                delete(state, original)
            state.use_response_url(url)
            return
        replaces = _says_yes(body, "replace_original") or not (
            "replace_original" in body or "response_type" in body
        )
        if replaces and original is not None:
            self._replace(original, body)
        else:
            public = body.get("response_type") == "in_channel"
            self._post(url.channel, None if public else url.user, body)
        state.use_response_url(url)

    def to_command(self, user: User, channel_id: str, typed: str, payload: object) -> None:
        """Show what a command's acknowledgement says.

        `in_channel` shows the typed command to the channel, with or without a message after it.
        """
        body = {"text": payload} if isinstance(payload, str) else payload
        if not body:
            return
        if not isinstance(body, dict):
            raise Refused("invalid_payload")
        public = body.get("response_type") == "in_channel"
        says = any(body.get(name) for name in ("text", "blocks", "attachments"))
        if says:
            # Checked first: a refused response must not show the command either.
            self._checked(body, ephemeral=not public)
        if public:
            self._state.post(
                Message(
                    channel=channel_id,
                    ts=self._state.new_ts(),
                    user=user.id,
                    text=typed,
                    kind="command",
                )
            )
        if says:
            self._post(channel_id, None if public else user.id, body)

    def to_submission(self, view: View, payload: object) -> None:
        """Close, update, push or mark the modal, as a submission's acknowledgement says."""
        state = self._state
        action = payload.get("response_action") if isinstance(payload, dict) else None
        if not isinstance(payload, dict) or action is None:
            state.close_view(view)
            return
        match action:
            case "clear":
                for each in reversed(state.views_of(view.user)):
                    state.close_view(each)
            case "errors":
                errors = payload.get("errors")
                inputs = {b["block_id"] for b in view.body["blocks"] if b["type"] == "input"}
                if not isinstance(errors, dict) or not errors or not inputs.issuperset(errors):
                    raise Refused("invalid_arguments")
                state.show_errors(view, errors)
            case "update":
                state.change_view(view, self._checked_view(payload))
            case "push":
                state.open_view(view.user, self._checked_view(payload), view)
            case _:
                raise Refused("invalid_arguments")

    def _replace(self, original: Message, body: Json) -> None:
        content = self._checked(body, ephemeral=original.is_ephemeral)
        self._state.change(
            replace(
                original,
                text=content.text or "",
                blocks=content.blocks or (),
                attachments=content.attachments or (),
            )
        )

    def _post(self, channel_id: str, receiver: str | None, body: Json) -> None:
        content = self._checked(body, ephemeral=receiver is not None)
        self._state.post(
            Message(
                channel=channel_id,
                ts=self._state.new_ts(),
                user=self._state.app.user_id,
                text=content.text or "",
                blocks=content.blocks or (),
                attachments=content.attachments or (),
                thread_ts=None
                if receiver
                else parent_of(self._state, channel_id, body.get("thread_ts")),
                receiver=receiver,
                link_names=str(body.get("link_names", "")).lower() in {"true", "1"},
            )
        )

    def _checked(self, body: Json, *, ephemeral: bool) -> Content:
        return checked_content(
            body,
            ephemeral=ephemeral,
            refused=self._faults.blocks_refused,
            characters=POST_CHARACTERS,
        )

    def _checked_view(self, payload: Json) -> Json:
        return checked_view(payload.get("view"), self._faults.blocks_refused)


def _says_yes(body: Json, name: str) -> bool:
    return str(body.get(name, "")).lower() == "true"
