"""What the facts about Slack mean: tokens, scopes, who is allowed, and where."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bot.check.facts import (
    NOT_ASKED,
    Bot,
    Group,
    Member,
    SlackFacts,
    Socket,
    Unknown,
    Untold,
)
from bot.check.findings import (
    Finding,
    Section,
    count,
    failure,
    name,
    ok,
    some,
    warning,
)
from bot.domain.channels import Channel
from bot.domain.people import Allowlist, Home, Right, Rights
from bot.errors import NO_WORKSPACE
from bot.scopes import OPTIONAL_SCOPES, SCOPES

NO_CHANNEL = (
    "Slack knows no such channel, or it is private and the bot isn't a member: invite the bot"
)

MOST_CONNECTIONS = 10
"""How many sockets Slack lets an app hold."""

_DOING = {Right.LOOK: "look", Right.CANCEL: "cancel queries", Right.KILL: "end sessions"}


def of_slack(facts: SlackFacts) -> Section:
    """The tokens, the scopes, and how requests reach the bot."""
    return Section("Slack", (*_of_bot(facts), *_of_socket(facts)))


def _of_bot(facts: SlackFacts) -> Iterator[Finding]:
    match facts.bot:
        case Untold(problem):
            yield failure(f"SLACK_BOT_TOKEN: {problem}")
        case Bot() as bot:
            where = f"{name(bot.workspace)} ({bot.team_id})"
            if bot.workspaces is None:
                yield ok(f"SLACK_BOT_TOKEN: the bot is {name(bot.name)}, in the workspace {where}")
            elif bot.workspaces:
                which = f"{where}: {some(bot.workspaces)}"
                yield ok(f"SLACK_BOT_TOKEN: the bot is {name(bot.name)}, in workspaces of {which}")
            else:
                yield failure(f"SLACK_BOT_TOKEN: {NO_WORKSPACE}")
            yield from _of_scopes(facts.scopes)


def _of_scopes(scopes: frozenset[str] | None) -> Iterator[Finding]:
    if scopes is None:
        yield warning("scopes: Slack's answer doesn't list any; a proxy may have removed them")
        return
    missing = [scope for scope in SCOPES if scope not in scopes]
    for scope in missing:
        yield failure(
            f"scopes: {scope} is missing: {SCOPES[scope]}. Add it under OAuth & Permissions,"
            " then reinstall the app"
        )
    if not missing:
        yield ok(f"scopes: all {len(SCOPES)} that the bot needs")
    if spare := sorted(scopes - SCOPES.keys() - OPTIONAL_SCOPES.keys()):
        yield warning(f"scopes: the token has more than the bot needs: {name(some(spare))}")


def _of_socket(facts: SlackFacts) -> Iterator[Finding]:
    match facts.socket:
        case None:
            yield ok(
                "HTTP mode: only a command in Slack can test SLACK_SIGNING_SECRET and the address"
            )
        case Untold(problem):
            yield failure(f"SLACK_APP_TOKEN: {problem}")
        case Socket(connections, app_id):
            yield _of_open_socket((connections or 1) - 1)
            bots_app = facts.bot.app_id if isinstance(facts.bot, Bot) else None
            if app_id and bots_app and app_id != bots_app:
                yield failure(
                    f"the tokens belong to different apps: SLACK_BOT_TOKEN to {name(bots_app)},"
                    f" SLACK_APP_TOKEN to {name(app_id)}"
                )


def _of_open_socket(others: int) -> Finding:
    if others >= MOST_CONNECTIONS - 1:
        return warning(
            f"SLACK_APP_TOKEN: the socket opens, but it is the last of the {MOST_CONNECTIONS} that"
            " Slack allows for an app"
        )
    beside = f"; {count(others, 'other socket is', 'other sockets are')} open" if others else ""
    return ok(f"SLACK_APP_TOKEN: the socket opens, and Slack says hello{beside}")


# --- People ------------------------------------------------------------------------


def of_allowlists(
    rights: Rights, facts: SlackFacts, *, second_person: Iterable[str] = ()
) -> Iterator[Section]:
    """Who is behind the ids of each list, and who may do what, cluster by cluster.

    `second_person` are names of clusters.
    """
    two = frozenset(second_person)
    for right in (Right.KILL, Right.CANCEL, Right.LOOK):
        if right is Right.CANCEL and not rights.is_set(right):
            continue
        for cluster in (None, *(one for one in rights.clusters if rights.has_own(right, one))):
            yield _of_allowlist(right, rights, cluster, facts, two)
    yield Section("who may do what", tuple(_on(each, rights, facts) for each in rights.clusters))


def _of_allowlist(
    right: Right,
    rights: Rights,
    cluster: str | None,
    facts: SlackFacts,
    second_person: frozenset[str],
) -> Section:
    allowlist = rights.allowlist(right, cluster)
    findings: list[Finding] = []
    places = [cluster] if cluster else [c for c in rights.clusters if not rights.has_own(right, c)]
    if allowlist.everyone:
        findings.append(ok("*: everyone in the workspace may look, except guests"))
    if allowlist.empty:
        findings.append(_of_nobody(right, places, is_own=cluster is not None))
    findings += _of_people(right, sorted(allowlist.users), facts)
    findings += _of_groups(right, sorted(allowlist.groups), facts)
    if right is Right.KILL and not allowlist.empty:
        two = sorted(second_person.intersection(places))
        findings += _of_the_able(able([allowlist], facts), facts, two)
    return Section(rights.setting(right, cluster), tuple(findings))


def _of_nobody(right: Right, places: Sequence[str], *, is_own: bool) -> Finding:
    """What it means that a list is empty; `places` are the clusters that it is for."""
    unset = "blank" if is_own else "not set"
    if not places:
        return ok(f"{unset}: each cluster has a list of its own")
    match right:
        case Right.KILL:
            where = f" on {some(places)}" if is_own else ""
            return warning(f"{unset}: nobody may end sessions{where}")
        case Right.CANCEL:
            return ok(f"{unset}: only those who may end sessions may cancel queries")
        case Right.LOOK:
            return ok(f"{unset}: only those who may end sessions may look")


def _on(cluster: str, rights: Rights, facts: SlackFacts) -> Finding:
    """Who may do what on one cluster, each in words once: who may kill may do the rest, too."""
    told, met = [], frozenset[str]()
    for right in (Right.KILL, Right.CANCEL, Right.LOOK):
        lists = rights.granting(right, cluster)
        if right is Right.LOOK and any(one.everyone for one in lists):
            told.append(f"{_DOING[right]}: everyone in the workspace except guests")
            continue
        ids = able(lists, facts)
        if ids is None:
            told.append(f"{_DOING[right]}: Slack didn't say")
        elif right is Right.KILL or ids - met:
            more = sorted(_called(one, facts) for one in ids - met)
            told.append(f"{_DOING[right]}: {some(more) if more else 'nobody'}")
            met |= ids
    return ok(f"{cluster}: {'; '.join(told)}")


def able(lists: Iterable[Allowlist], facts: SlackFacts) -> frozenset[str] | None:
    """Whom allowlists let through, according to Slack; None if Slack didn't say everything."""
    lists = tuple(lists)
    asked = [facts.people.get(one, NOT_ASKED) for each in lists for one in each.users]
    groups = [facts.groups.get(one, NOT_ASKED) for each in lists for one in each.groups]
    if any(isinstance(answer, Untold) for answer in (*asked, *groups)):
        return None
    ids = {one.id for one in asked if isinstance(one, Member)}
    for group in groups:
        if isinstance(group, Group) and not group.disabled:
            ids.update(group.members)
    return frozenset(one for one in ids if not _is_out(facts.people.get(one)))


def _is_out(person: Member | Unknown | Untold | None) -> bool:
    return isinstance(person, Member) and bool(
        person.deleted or person.is_bot or person.home is Home.ELSEWHERE
    )


def _of_the_able(
    ids: frozenset[str] | None, facts: SlackFacts, second_person: list[str]
) -> Iterator[Finding]:
    if ids is None:
        return
    if not ids:
        yield warning("nobody on this list may end sessions")
    if len(ids) == 1 and second_person:
        (only,) = ids
        yield warning(
            f"SECOND_PERSON_CLUSTERS: only {_called(only, facts)} may end sessions, so nobody"
            f" can confirm a kill on {some(second_person)}"
        )


def _of_people(right: Right, ids: Iterable[str], facts: SlackFacts) -> Iterator[Finding]:
    untold: dict[str, list[str]] = defaultdict(list)
    for user_id in ids:
        match facts.people.get(user_id, NOT_ASKED):
            case Member() as member:
                wrong = _wrong_with(member, right)
                text = f"{user_id} is {_called(user_id, facts)}"
                yield warning(f"{text}, {wrong}") if wrong else ok(text)
            case Unknown():
                yield warning(f"{user_id}: Slack knows nobody with this id")
            case Untold(problem):
                untold[problem].append(user_id)
    yield from _of_untold(untold)


def _of_untold(untold: Mapping[str, list[str]]) -> Iterator[Finding]:
    for problem, ids in untold.items():
        yield warning(f"{some(ids)}: Slack didn't say what this is ({problem})")


def _wrong_with(member: Member, right: Right) -> str:
    """What speaks against a person on a list; empty if nothing does."""
    if member.deleted:
        return "deactivated"
    if member.is_bot:
        return "an app, which can't send commands"
    if member.home is Home.ELSEWHERE:
        return "from another workspace: the bot refuses such people"
    if member.home is None:
        return "whose workspace Slack doesn't say: the bot may refuse them"
    if member.is_guest:
        return f"a guest, who may {_DOING[right]} because this list has their id"
    return ""


def _called(user_id: str, facts: SlackFacts) -> str:
    """A person's name, or the id if the name isn't known."""
    member = facts.people.get(user_id)
    if not isinstance(member, Member):
        return user_id
    handle = f" (@{name(member.handle)})" if member.handle else ""
    return f"{name(member.name)}{handle}"


def _of_groups(right: Right, ids: list[str], facts: SlackFacts) -> Iterator[Finding]:
    untold: dict[str, list[str]] = defaultdict(list)
    groups: list[Group] = []
    for group_id in ids:
        match facts.groups.get(group_id, NOT_ASKED):
            case Group() as group:
                groups.append(group)
                yield from _of_group(right, group, facts)
            case Unknown():
                yield warning(f"{group_id}: Slack knows no user group with this id")
            case Untold(problem):
                untold[problem].append(group_id)
    yield from _of_untold(untold)
    yield from _of_editors([group for group in groups if not group.disabled], facts)


def _of_group(right: Right, group: Group, facts: SlackFacts) -> Iterator[Finding]:
    text = f"{group.id} is {_handle(group)} ({name(group.name)})" if group.handle else group.id
    if group.disabled:
        yield warning(f"{text}, a disabled group: it allows nobody")
        return
    if not group.members:
        yield warning(f"{text}, a group without members")
        return
    people = count(len(group.members), "person", "people")
    yield ok(f"{text}, {people}: {some(_called(one, facts) for one in group.members)}")
    for user_id in group.members:
        member = facts.people.get(user_id)
        wrong = _wrong_with(member, right) if isinstance(member, Member) else ""
        if wrong:
            yield warning(f"{_handle(group)}: its member {_called(user_id, facts)} is {wrong}")


def _of_editors(groups: list[Group], facts: SlackFacts) -> Iterator[Finding]:
    """Whether people can put themselves on the list.

    For some groups Slack says whether editing them is restricted. For the others it says who edited
    them last: if that person isn't an admin, then others who aren't can do it too.
    """
    free, silent = [], []
    for group in groups:
        if group.is_locked or group.is_restricted:
            continue
        editor = facts.people.get(group.editor or "")
        if group.is_restricted is False:
            free.append(_handle(group))
        elif isinstance(editor, Member) and not editor.is_bot and editor.is_admin is False:
            free.append(
                f"{_handle(group)} (last edited by {_called(editor.id, facts)}, who isn't an admin)"
            )
        else:
            silent.append(_handle(group))
    if free:
        yield warning(
            f"people who aren't admins can edit {some(free)} and add themselves to this list. Let"
            " only admins edit user groups, or list people by their ids"
        )
    if silent:
        yield ok(
            f"{some(silent)}: Slack doesn't say who can edit it; make sure that only admins can"
        )


def _handle(group: Group) -> str:
    return f"@{name(group.handle)}" if group.handle else group.id


# --- Channels ----------------------------------------------------------------------


def of_channels(allowed: Iterable[str], facts: SlackFacts) -> Section:
    """The channels where the commands work."""
    ids = sorted(allowed)
    findings: list[Finding] = []
    untold: dict[str, list[str]] = defaultdict(list)
    if not ids:
        findings.append(ok("not set: the commands work in all channels"))
    for channel_id in ids:
        match facts.channels.get(channel_id, NOT_ASKED):
            case Channel() as channel:
                findings.append(_of_channel(channel))
            case Unknown():
                findings.append(warning(f"{channel_id}: {NO_CHANNEL}"))
            case Untold(problem):
                untold[problem].append(channel_id)
    return Section("ALLOWED_CHANNELS", (*findings, *_of_untold(untold)))


def _of_channel(channel: Channel) -> Finding:
    kind = "private" if channel.is_private else "public"
    text = f"{channel.id} is #{name(channel.name)}, {kind}"
    if channel.is_archived:
        return warning(f"{text}, archived: nobody can post there")
    if channel.is_direct:
        return warning(f"{channel.id} is a direct message: the bot ends no sessions there")
    if channel.is_read_only:
        return warning(
            f"{text}, where the bot may not post: no kill can be confirmed there. Ask whoever"
            " manages the channel to let the bot post"
        )
    if channel.is_shared:
        return warning(
            f"{text}, shared with another workspace, or about to be: its people see the answers,"
            " and kills are allowed there because this list has the channel"
        )
    if channel.is_shared is None:
        return warning(
            f"{text}: Slack didn't say whether another workspace shares it; answers and kills are"
            " allowed there because this list has the channel"
        )
    if channel.is_private and not channel.is_member:
        return warning(f"{text}, but the bot isn't a member: invite it")
    return ok(text if channel.is_member else f"{text}; the bot isn't a member, and need not be")
