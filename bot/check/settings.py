"""What the settings say, if they are valid, and whether their ports are free."""

from collections.abc import Iterable, Iterator

from bot.check.findings import Finding, Section, failure, ok, some

TITLE = "settings"


def wrong_settings(problems: Iterable[str]) -> Section:
    """The errors in the settings, one per line; nothing else can be checked then."""
    return Section(TITLE, tuple(map(failure, problems)))


def of_settings(
    *, clusters: Iterable[str], mode: str, ports: Iterable[tuple[str, int, str | None]]
) -> Section:
    """`ports` holds each port's variable, its number, and why the bot can't listen there."""
    read = ok(f"valid: {mode}, clusters {some(clusters, most=10)}")
    return Section(TITLE, (read, *_of_ports(ports)))


def _of_ports(ports: Iterable[tuple[str, int, str | None]]) -> Iterator[Finding]:
    for variable, port, problem in ports:
        if problem is None:
            yield ok(f"{variable}: {port} is free to listen on")
        else:
            yield failure(
                f"{variable}: can't listen on {port} ({problem}). If the bot is running, it"
                " is the one that listens there"
            )
