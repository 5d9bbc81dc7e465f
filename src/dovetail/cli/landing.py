"""Where a browser brings the answer of a log-in: one request on this machine, then it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from html import escape
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from dovetail.errors import AuthenticationError, DovetailError, EnvironmentInUseError

PATH = "/callback"
_LONGEST_HEAD = 16 * 1024
_READ_WITHIN_S = 10.0
_PAGE = """HTTP/1.1 {status}\r
Content-Type: text/html; charset=utf-8\r
Cache-Control: no-store\r
Referrer-Policy: no-referrer\r
Connection: close\r
\r
<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Dovetail</title></head>
<body style="font:16px sans-serif;max-width:32em;margin:4em auto"><h1>{head}</h1><p>{text}</p>
</body></html>
"""


class Landing:
    """
    Listens on loopback until an answer has come.

    Args:
        port: The one that the platform's app knows; 0 takes any free one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._read: Callable[[Mapping[str, str]], str] | None = None
        self._server: asyncio.Server | None = None
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def uri(self) -> str:
        """Where the platform must send the browser."""
        return f"http://localhost:{self._port}{PATH}"

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self._port, limit=_LONGEST_HEAD
            )
        except OSError as error:
            raise EnvironmentInUseError(
                f"Port {self._port} is in use, and the browser is to come back to it. Close what "
                "uses it, or give another with --redirect-port (which the platform's app must "
                "allow).",
                port=self._port,
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None  # noqa: S101 - set by __aenter__
        self._server.close()
        await self._server.wait_closed()
        if self._code.done() and not self._code.cancelled():
            self._code.exception()

    def expect(self, read: Callable[[Mapping[str, str]], str]) -> None:
        """Make a code of the answer with *read*, or an error; the browser is told which."""
        self._read = read

    async def wait(self, seconds: float) -> str:
        """
        Return the code, once the browser has brought it.

        Raises:
            AuthenticationError: The person said no, the answer is not for us, or nothing came.
        """
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._code)
        except TimeoutError as error:
            raise AuthenticationError(
                f"Nobody came back from the log-in page within {seconds:.0f} s. Nothing was "
                "connected. Start again, and take longer with --wait SECONDS.",
                operation="log in",
            ) from error

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer(head).encode())
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever that was, it was no browser with an answer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> str:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target = urlsplit(rest.rpartition(" ")[0])
        if method != "GET" or target.path != PATH or self._read is None or self._code.done():
            return _PAGE.format(status="404 Not Found", head="Nothing here", text="")
        try:
            code = self._read(dict(parse_qsl(target.query)))
        except DovetailError as error:
            self._code.set_exception(error)
            text = escape(error.message)
            return _PAGE.format(status="400 Bad Request", head="Not connected", text=text)
        self._code.set_result(code)
        text = "The answer is here. Close this page; the terminal says whether it is accepted."
        return _PAGE.format(status="200 OK", head="Done", text=text)
