"""Logs: one event a line, JSON for machines or columns for people.

Nothing secret gets here: tokens and URLs are `SecretStr`, commands and queries are never
logged. The standard library's records (Bolt's, the SDK's, the driver's) take the same way
out; what their errors tell of the URLs that were asked is masked.
"""

import io
import logging
import re
import sys
from typing import Literal, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError

from bot.text import visible

_AT_LEAST = {"sqlalchemy": logging.WARNING, "aiosqlite": logging.WARNING}
"""Of other libraries: their lower lines hold statements. Those of all hold payloads below INFO."""

_REST = r"[^\s'\"\\]"
_SECRET = re.compile(
    r"xox[a-z]-[\w-]+|xapp-[\w-]+"  # a token
    rf"|(?<=ticket=)(?:(?!&){_REST})+"  # what lets a socket in
    rf"|(?<=/commands/)\w{_REST}*|(?<=/actions/)\w{_REST}*"  # a response_url
    rf"|(?<=://)(?:(?![@/]){_REST})*:(?:(?![@/]){_REST})*(?=@)"  # a role and its password
)

# Without the frames' locals: these hold passwords, tokens and queries.
_traces = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Send everything to standard error, in one form."""
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
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_fit_to_keep)
    handler.addFilter(_without_what_was_sent)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _without_what_was_sent(record: logging.LogRecord) -> bool:
    """Take the bytes out of what aiohttp says of a request that is none; no failure of ours."""
    error = record.exc_info[1] if record.exc_info else None
    if record.name == "aiohttp.server" and isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = f"http.not_understood ({type(error).__name__})", ()
        record.exc_info = None
    return True


def _fit_to_keep(record: logging.LogRecord) -> bool:
    """Whether a library's record is of a level that holds no payload.

    At the handler, since Bolt gives its loggers levels of their own.
    """
    library = record.name.partition(".")[0]
    return library == "bot" or record.levelno >= _AT_LEAST.get(library, logging.INFO)


def _legible(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep what others named from acting on the terminal: JSON escapes it, the console doesn't."""
    return {
        name: visible(value) if isinstance(value, str) else value for name, value in line.items()
    }


def _legible_traceback(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    """Write a traceback of which no message acts on the terminal."""
    written = io.StringIO()
    structlog.dev.plain_traceback(written, error)
    out.write("\n".join(map(visible, written.getvalue().split("\n"))))


def _masked(_: object, __: str, line: structlog.typing.EventDict) -> str:
    """The line as it goes out, after its renderer."""
    return _SECRET.sub("…", str(line))
