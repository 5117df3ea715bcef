"""The steps of the guide, as people read them. Plain data, no I/O."""

from dataclasses import dataclass

from workspace.page.contract import Ending


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `commands` to type, if any; `people` who can do it, if not everyone can."""

    id: str
    title: str
    text: str
    commands: tuple[str, ...] = ()
    people: tuple[str, ...] = ()


LOOKERS = ("ana", "ben", "vera")
OPERATORS = ("ana", "ben")

STORY = (
    Step(
        "login",
        "A login fails",
        "`some_user` may have one connection, and somebody holds it. The panel tries to log in"
        " every 2 s and shows what PostgreSQL answers.",
    ),
    Step(
        "look",
        "See who is connected",
        "The summary says that `some_user` stands at 1 of 1, and the first row who holds that one"
        " connection. Others wait behind it.",
        ("/pg-sessions main/some_db",),
        LOOKERS,
    ),
    Step(
        "preview",
        "Ask for the kill",
        "The preview shows who would die, what that costs and what it frees. Nothing has happened"
        " yet.",
        ("/pg-kill main/some_db user=some_user -- blocks the deploy",),
        OPERATORS,
    ),
    Step(
        "refused",
        "Press Terminate as Vera",
        "She may look, and no more. She is refused, only she sees it, and it is on record. Or go"
        " straight on, and confirm.",
        people=("vera",),
    ),
    Step(
        "confirmed",
        "Confirm it",
        "Press Terminate and say yes to Slack's question: as somebody else, or as the one who"
        " asked. The same message becomes the outcome.",
        people=OPERATORS,
    ),
    Step(
        "green",
        "The login works",
        "The slot is free, and the next attempt gets in. Those who waited have gone on.",
    ),
)

# These may be done in any order, before the story or after it.
SPECIAL = (
    Step(
        "changed",
        "A session that changed is left alone",
        "`invoice-export` is idle, and the preview says that its end costs nothing. As soon as the"
        " preview stands, the client begins to write. Confirm: the outcome is `changed`, nobody"
        " has died, and *Preview again* shows what it would cost now.",
        ("/pg-kill main/some_db app=invoice-export -- old version",),
        OPERATORS,
    ),
    Step(
        "second",
        "Production takes two people",
        "On prod (`SECOND_PERSON_CLUSTERS`) nobody confirms what they asked for. Ask, press"
        " Terminate yourself and be told so; then confirm as somebody else.",
        ("/pg-kill prod/some_db app=celery* -- wrong queue",),
        OPERATORS,
    ),
    Step(
        "back",
        "A client that comes back",
        "Confirm, and wait: ten seconds later the same message says that the client is back. To end"
        " a session doesn't stop its client.",
        ("/pg-kill main/some_db app=cron-report -- runs too often",),
        OPERATORS,
    ),
    Step(
        "queue",
        "A migration that everyone waits behind",
        "A minute after the start, the bot speaks first. Press *Why* under its message, or ask: an"
        " idle report holds the table, the migration waits for it, and all others wait only because"
        " of the migration. The cheapest way out is to cancel it and to try again later. The button"
        " opens an ordinary preview. *Queue behind a migration* below begins it anew.",
        ("/pg-sessions why main/shop",),
        LOOKERS,
    ),
    Step(
        "vacuum",
        "What holds back vacuum",
        "Press *Hold back vacuum* below. The replication slot of a subscriber that has gone and a"
        " transaction that somebody forgot keep vacuum from cleaning up. `horizon` ranks them, and"
        " says what lets each go. Then ask why of a pid in it: what does it pin?",
        ("/pg-sessions horizon main/",),
        LOOKERS,
    ),
)

ENDING: Ending = {
    "title": "What to try next",
    "text": (
        "The record has it all. Below, break something and ask again: with every connection taken"
        " the bot still gets in, and while PostgreSQL hangs the other cluster still answers."
        " *Reset* begins anew. For servers of your own, `README.md` has a section “Set it up in"
        " five minutes”."
    ),
    "commands": ["/pg-kill history", "/pg-sessions", "/pg-sessions help"],
}
