"""What the settings say, if they are valid, and whether their ports are free."""

from collections.abc import Iterable, Iterator

from bot.check.facts import Port
from bot.check.findings import Finding, Section, failure, ok, some

TITLE = "settings"


def wrong_settings(problems: Iterable[str]) -> Section:
    """The errors in the settings, one per line; nothing else can be checked then."""
    return Section(TITLE, tuple(map(failure, problems)))


def of_settings(*, clusters: Iterable[str], mode: str, ports: Iterable[Port]) -> Section:
    read = ok(f"valid: {mode}, clusters {some(clusters, most=10)}")
    return Section(TITLE, (read, *_of_ports(ports)))


def _of_ports(ports: Iterable[Port]) -> Iterator[Finding]:
    for each in ports:
        where = f"{each.variable}: {each.number}"
        if each.problem is None:
            yield ok(f"{where} is free to listen on")
        elif each.is_the_bots:
            yield ok(f"{where} is a running bot's; beside it, no other one can listen there")
        else:
            yield failure(f"{each.variable}: can't listen on {each.number} ({each.problem})")
