"""Logs: one event per line, as JSON for machines or in columns for people.

No secrets get here: tokens and URLs are `Secret`, and commands and queries are never logged.
The standard library's records (from Bolt, the SDK, the driver) go the same way; secrets in the
URLs that their errors mention are masked.
"""

import asyncio
import io
import logging
import re
import sys
import time
from contextvars import Context, copy_context
from typing import Literal, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError

from bot.text import visible

_AT_LEAST = {"sqlalchemy": logging.WARNING, "aiosqlite": logging.WARNING}
"""Libraries whose lower levels log statements. Below INFO, every library logs payloads."""

SELDOM = 60.0
"""Seconds between two lines about connections that can't be accepted."""

_REST = r"[^\s'\"\\]"
_SECRET = re.compile(
    r"xox[a-z]-[\w-]+|xapp-[\w-]+"  # a token
    rf"|(?<=ticket=)(?:(?!&){_REST})+"  # what a socket needs to connect
    rf"|(?<=/commands/)\w{_REST}*|(?<=/actions/)\w{_REST}*"  # a response_url
    rf"|(?<=://)(?:(?![@/]){_REST})*:(?:(?![@/]){_REST})*(?=@)"  # a role and its password
)

# Without the frames' locals, which hold passwords, tokens and queries.
_traces = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Send all logs to standard error, in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendered: list[structlog.typing.Processor] = (
        [_traces, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            _legible,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=_legible_traceback
            ),
        ]
    )
    last: list[structlog.typing.Processor] = [*rendered, _masked]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = _AtLeisure(sys.stderr)
    handler.addFilter(_fit_to_keep)
    handler.addFilter(_without_what_was_sent)
    handler.addFilter(_Seldom())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class _AtLeisure(logging.StreamHandler[TextIO]):
    """Writes lines below WARNING in the event loop's next turn, in order with the others.

    By then, whoever logged them mostly waits for something. To write a line takes as long as to
    send a signal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._kept: list[tuple[Context, logging.LogRecord]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record: at once from WARNING on, and if no event loop runs in this thread."""
        try:
            loop = asyncio.get_running_loop() if record.levelno <= logging.INFO else None
        except RuntimeError:
            loop = None
        if loop is None:
            self._write_kept()
            super().emit(record)
            return
        # A library's record gets the context's values, such as the reference, when it is formatted.
        self._kept.append((copy_context(), record))
        loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is kept, too."""
        self.acquire()
        try:
            self._write_kept()
            super().flush()
        finally:
            self.release()

    def _write_kept(self) -> None:
        kept, self._kept = self._kept, []
        for context, record in kept:
            context.run(super().emit, record)


def _without_what_was_sent(record: logging.LogRecord) -> bool:
    """Remove the bytes that aiohttp quotes from a malformed request; those aren't our failure."""
    error = record.exc_info[1] if record.exc_info else None
    if record.name == "aiohttp.server" and isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = f"http.malformed ({type(error).__name__})", ()
        record.exc_info = None
    return True


def _fit_to_keep(record: logging.LogRecord) -> bool:
    """Whether a library's record has a level at which it logs no payloads.

    This filters at the handler, because Bolt sets the levels of its loggers itself.
    """
    library = record.name.partition(".")[0]
    return library == "bot" or record.levelno >= _AT_LEAST.get(library, logging.INFO)


class _Seldom(logging.Filter):
    """Lets asyncio say once a minute that a server can accept nobody, because files have run out.

    It says so for each connection that might wait, more than a hundred times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a record."""
        if record.name != "asyncio" or not record.getMessage().startswith("socket.accept() out"):
            return True
        now = time.monotonic()
        is_due = now - self._said_at >= SELDOM
        if is_due:
            self._said_at = now
        return is_due


def _legible(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Make other people's names safe for a terminal; JSON escapes them, the console doesn't."""
    return {
        name: visible(value) if isinstance(value, str) else value for name, value in line.items()
    }


def _legible_traceback(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    """Write a traceback in which no message can act on the terminal."""
    written = io.StringIO()
    structlog.dev.plain_traceback(written, error)
    out.write("\n".join(map(visible, written.getvalue().split("\n"))))


def _masked(_: object, __: str, line: structlog.typing.EventDict) -> str:
    """The line as it is written, with secrets masked."""
    return _SECRET.sub("…", str(line))
