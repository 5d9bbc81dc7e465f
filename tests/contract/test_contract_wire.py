"""The socket between a connector under test and its simulator answers at once."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.responses import Response

from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.core.transport import HttpRequest
from dovetail.testing.contract.wire import served

SOCKETS = Path("/proc/self/fd")


def waits_for_acknowledgements(port):
    """Return whether our end of the connection from *port* holds small packets back."""
    for number in map(int, (one.name for one in SOCKETS.iterdir())):
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as connection:
            if connection.family == socket.AF_INET and connection.getpeername()[1] == port:
                return not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    pytest.fail(f"no connection from port {port}")


@pytest.mark.real_time
@pytest.mark.skipif(not SOCKETS.is_dir(), reason="sockets are found in /proc")
async def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head():
    held_back = []

    async def app(scope, receive, send):
        held_back.append(waits_for_acknowledgements(scope["client"][1]))
        await Response(b"[]", media_type="application/json")(scope, receive, send)

    transport = AiohttpTransport()
    async with served(app) as base_url:
        answer = await transport.send(HttpRequest(method="GET", url=base_url))
        await transport.close()

    assert answer.body == b"[]"
    assert held_back == [False]
