"""The password of a connection, from a program that the settings name.

For passwords that expire: a cloud's token, or what a vault lends. The program runs once for each
connection, so nothing of it is kept. What it prints is a secret: no error quotes it, and its
standard error goes nowhere.
"""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

from bot.pg_url import ServerUrl

WITHIN = 10.0
"""Seconds for one run."""

AT_ONCE = 2
"""Runs at the same time for one cluster, which holds a few connections more than that."""

LONGEST_LINE = 16_384
"""Bytes. Amazon's tokens have about a thousand, Microsoft's about two thousand."""

MOST_OUTPUT = 1_048_576
"""Bytes after which a program that keeps printing is ended."""

_CHUNK = 65_536


class NoPasswordError(Exception):
    """The program gave no password. The text says why, fit for a channel: never its output."""


class PasswordCommand:
    """A program and its arguments, and what it sees of the environment."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._arguments = tuple(arguments)
        self._environment = dict(environment)
        self._free = asyncio.Semaphore(AT_ONCE)

    async def password(self, url: ServerUrl) -> str:
        """Run it. It sees libpq's PGHOST, PGPORT and PGUSER. Raises `NoPasswordError`."""
        where = {"PGHOST": url.host, "PGPORT": str(url.port), "PGUSER": url.user or ""}
        async with self._free:
            line, _, _ = (await self._output({**self._environment, **where})).partition(b"\n")
        if len(line) > LONGEST_LINE:
            raise NoPasswordError(f"its password command printed more than {LONGEST_LINE} bytes")
        try:
            password = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise NoPasswordError("its password command printed something else than text") from None
        if not password:
            raise NoPasswordError("its password command printed no password")
        if "\0" in password:
            raise NoPasswordError("its password command printed something else than text")
        return password

    async def _output(self, environment: Mapping[str, str]) -> bytes:
        """The beginning of what it prints, once it has ended well."""
        # A pipe of our own: asyncio's would have us wait for whoever inherits it, such as an agent
        # that the program starts.
        ours, its = os.pipe()
        try:
            process = await self._started(its, environment)
            try:
                async with asyncio.timeout(WITHIN):
                    output = await _until_its_end(process, ours)
            except TimeoutError:
                problem = f"its password command did not end within {WITHIN:.0f} s"
                raise NoPasswordError(problem) from None
            finally:
                await _end(process)
        finally:
            os.close(ours)
        if process.returncode:
            raise NoPasswordError(f"its password command failed ({_status(process.returncode)})")
        return output

    async def _started(self, stdout: int, environment: Mapping[str, str]) -> Process:
        """Start it, in a session of its own, so that what it starts can be ended with it."""
        try:
            return await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            problem = f"its password command can't be started ({error.strerror})"
            raise NoPasswordError(problem) from None
        finally:
            os.close(stdout)


async def _until_its_end(process: Process, pipe: int) -> bytes:
    """Read all of it, so that the program never blocks, and return the beginning."""
    os.set_blocking(pipe, False)
    loop = asyncio.get_running_loop()
    head, total, too_much = bytearray(), 0, loop.create_future()

    def read() -> bool:
        """Take what is there, once; whether there may be more."""
        nonlocal total
        try:
            chunk = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            loop.remove_reader(pipe)
            return False
        head.extend(chunk[: LONGEST_LINE + 2 - len(head)])
        total += len(chunk)
        if total > MOST_OUTPUT and not too_much.done():
            too_much.set_result(None)
        return total <= MOST_OUTPUT

    loop.add_reader(pipe, read)
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({ended, too_much}, return_when=asyncio.FIRST_COMPLETED)
        if too_much.done():
            raise NoPasswordError("its password command printed more than 1 MB")
        while read():  # what it left in the pipe
            pass
    finally:
        loop.remove_reader(pipe)
        ended.cancel()
        too_much.cancel()
    return bytes(head)


async def _end(process: Process) -> None:
    """End it, and what it has started, unless it has ended by itself."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _status(returncode: int) -> str:
    return f"exit status {returncode}" if returncode > 0 else f"signal {-returncode}"
