"""The HTTP door: what its sockets are set to."""

import asyncio
import socket

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from dovetail.app.server import HttpServer


@pytest.mark.real_time
async def test_answers_do_not_wait_for_delayed_acknowledgements():
    # Head and body of an answer are two writes; with Nagle's algorithm on, the second one waits
    # until the other side acknowledges the first, which it puts off for 40 ms.
    accepted = []

    async def answer(request):
        transports = [
            connection.transport for connection in server._server.server_state.connections
        ]
        accepted.extend(transport.get_extra_info("socket") for transport in transports)
        return Response(str(accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    server = HttpServer(Starlette(routes=[Route("/", answer)]), "127.0.0.1", 0)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        await server.stop()

    assert received.rpartition(b"\r\n\r\n")[2] == b"1"
