"""What a person sees, as plain text, and whom a message notifies. Pure.

Text that a client chose is shown unchanged. Only what Slack would parse is parsed: `mrkdwn` and the
top-level text.
"""

import re

from wcwidth import wcswidth

from workspace.blocks import Json, cell_text, plain_rich_text
from workspace.state import Message, State, User, View

_ENTITY = re.compile(r"<([^<>]+)>")
_BROADCASTS = frozenset({"channel", "here", "everyone"})


def unescaped(text: str) -> str:
    """Replace entities with the characters that they stand for."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


class Screen:
    """Draws messages and modals for one person."""

    def __init__(self, state: State, viewer: User) -> None:
        self._state = state
        self._viewer = viewer

    def messages(self, channel_id: str) -> list[Message]:
        """What the person sees in a channel, oldest first."""
        channel = self._state.channels[channel_id]
        if not self._state.may_see(self._viewer.id, channel):
            return []
        return [
            message
            for message in self._state.messages(channel_id)
            if message.receiver in {None, self._viewer.id}
        ]

    def channel(self, channel_id: str) -> str:
        """A channel from its oldest message to its newest."""
        return "\n\n".join(self.message(each) for each in self.messages(channel_id))

    def message(self, message: Message) -> str:
        """One message: who wrote it, and what it says."""
        author = self._name(message.user)
        if message.kind == "command":
            return f"{author} used {unescaped(message.text)}"
        lines = ["Only visible to you"] if message.is_ephemeral else []
        if message.blocks:
            lines += [self.block(block) for block in message.blocks]
        elif message.text:
            lines.append(self.mrkdwn(message.text))
        for attachment in message.attachments:
            lines += [self.block(block) for block in attachment.get("blocks", [])]
            lines += [str(attachment[name]) for name in ("text",) if name in attachment]
        if message.edited_ts is not None:
            lines.append("(edited)")
        return "\n".join([f"{author}:", *("  " + line for part in lines for line in _lines(part))])

    def view(self, view: View) -> str:
        """A modal, with the contents of its inputs and what is wrong with them."""
        body = view.body
        errors = dict(view.errors)
        touched = self._state.inputs(view.id, view.user)
        lines = [f"{body['title']['text']}"]
        if "" in errors:
            lines.append(f"⚠ {errors['']}")
        for block in body["blocks"]:
            lines.append(self.block(block))
            if block["type"] == "input":
                key = (block["block_id"], block["element"]["action_id"])
                if key in touched:
                    lines.append(f"  = {_shown(touched[key])}")
            if block["block_id"] in errors:
                lines.append(f"⚠ {errors[block['block_id']]}")
        buttons = [body[name]["text"] for name in ("close", "submit") if name in body]
        lines.append(" ".join(f"[{text}]" for text in buttons))
        return "\n".join(lines)

    def home(self, view: View) -> str:
        """A Home tab."""
        return "\n".join(self.block(block) for block in view.body["blocks"])

    def block(self, block: Json) -> str:
        """One block. A kind that isn't drawn says so instead of vanishing."""
        match block["type"]:
            case "section":
                return self._section(block)
            case "header":
                return f"# {block['text']['text']}"
            case "context":
                return " · ".join(self._text(each) for each in block["elements"])
            case "divider":
                return "---"
            case "actions":
                return " ".join(self.element(each) for each in block["elements"])
            case "table":
                return table(block)
            case "data_table":
                return f"({block['caption']})\n{table(block)}"
            case "rich_text":
                return plain_rich_text(block, self._entity)
            case "markdown":
                return str(block["text"])
            case "alert":
                return f"! {self._text(block['text'])}"
            case "image":
                return f"({block['alt_text']})"
            case "input":
                optional = " (optional)" if block.get("optional") else ""
                label = f"{block['label']['text']}{optional}"
                return f"{label}: {self.element(block['element'])}"
            case "container":
                title = [self._text(block["title"])] if "title" in block else []
                return "\n".join([*title, *(self.block(each) for each in block["child_blocks"])])
            case other:
                return f"({other} block)"

    def element(self, element: Json) -> str:
        """One element: a button as `[Text]`, a menu as `[Placeholder ▾]`."""
        match element["type"]:
            case "button":
                return f"[{element['text']['text']}]"
            case "overflow":
                return "[…]"
            case "image":
                return f"({element['alt_text']})"
            case kind if kind.endswith("_input"):
                return f"<{_placeholder(element)}>"
            case _:
                return f"[{_placeholder(element)} ▾]"

    def mrkdwn(self, text: str) -> str:
        """Slack's markup as a reader sees it: mentions by name, links by their text."""
        return unescaped(_ENTITY.sub(lambda found: self._entity(found[1]), text))

    def _section(self, block: Json) -> str:
        lines = [self._text(block["text"])] if "text" in block else []
        lines += [self._text(each) for each in block.get("fields", [])]
        if "accessory" in block:
            lines.append(self.element(block["accessory"]))
        return "\n".join(lines)

    def _text(self, part: Json) -> str:
        match part["type"]:
            case "mrkdwn":
                return self.mrkdwn(part["text"])
            case "image":
                return f"({part['alt_text']})"
            case _:
                return str(part["text"])

    def _entity(self, inside: str) -> str:
        target, bar, words = inside.partition("|")
        if target.startswith("@"):
            return f"@{self._name(target[1:])}"
        if target.startswith("#"):
            channel = self._state.channels.get(target[1:])
            return f"#{channel.name if channel else target[1:]}"
        if target.startswith("!subteam^"):
            group = self._state.groups.get(target.removeprefix("!subteam^"))
            return f"@{group.handle if group else words}"
        if target.startswith("!date^"):
            return words
        if target.startswith("!"):
            return f"@{target[1:]}"
        return words if bar else target

    def _name(self, user_id: str) -> str:
        if user_id == "USLACKBOT":
            return "Slackbot"
        user = self._state.users.get(user_id)
        return user.name if user else user_id


def table(block: Json) -> str:
    """A table with aligned columns."""
    rows = [[cell_text(cell) for cell in row] for row in block["rows"]]
    columns = max(len(row) for row in rows)
    widths = [
        max(_width(row[index]) for row in rows if index < len(row)) for index in range(columns)
    ]
    return "\n".join(
        "  ".join(
            cell + " " * (widths[index] - _width(cell)) for index, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )


def _width(text: str) -> int:
    return max(wcswidth(text), 0)


def _lines(text: str) -> list[str]:
    return text.split("\n")


def _placeholder(element: Json) -> str:
    return str(element.get("placeholder", {}).get("text", element["type"]))


def _shown(value: Json) -> str:
    for name, inner in value.items():
        if name == "selected_option" and inner:
            return str(inner["text"]["text"])
        if name == "selected_options":
            return ", ".join(str(each["text"]["text"]) for each in inner)
        if name != "type" and inner is not None:
            return str(inner)
    return ""


def notifies(message: Message) -> frozenset[str]:
    """Whom a message notifies: ids of users and groups, and `channel`, `here`, `everyone`.

    The top-level text, mrkdwn objects, markdown blocks and rich_text's own elements count;
    plain_text, raw_text and quoted text notify nobody. With `link_names`, names count too.
    """
    found: set[str] = set()
    _scan_text(message.text, found)
    if message.link_names:
        found |= {word for word in _BROADCASTS if f"@{word}" in message.text}
    _scan(list(message.blocks), found)
    return frozenset(found)


def _scan(value: object, found: set[str]) -> None:
    if isinstance(value, list):
        for inner in value:
            _scan(inner, found)
    elif isinstance(value, dict):
        match value.get("type"):
            case "mrkdwn" | "markdown":
                _scan_text(str(value["text"]), found)
            case "user":
                found.add(str(value["user_id"]))
            case "usergroup":
                found.add(str(value["usergroup_id"]))
            case "broadcast":
                found.add(str(value["range"]))
            case _:
                pass
        for inner in value.values():
            _scan(inner, found)


def _scan_text(text: str, found: set[str]) -> None:
    for inside in _ENTITY.findall(text):
        target = inside.partition("|")[0]
        if target.startswith("@"):
            found.add(target[1:])
        elif target.startswith("!subteam^"):
            found.add(target.removeprefix("!subteam^"))
        elif target[1:] in _BROADCASTS and target.startswith("!"):
            found.add(target[1:])
