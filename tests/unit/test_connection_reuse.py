"""A kept connection that breaks: the library must not send the request a second time by itself."""

import asyncio

import pytest

from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.core.transport import HttpRequest, TransportError


@pytest.mark.real_time
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_request_on_a_kept_connection_is_sent_once(method):
    seen, connections = [], 0

    async def serve(reader, writer):
        nonlocal connections
        connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen.append(head.split(b" ", 1)[0].decode())
                if len(seen) > 1:
                    return  # the second request is taken, and the connection cut
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    transport = AiohttpTransport()
    try:
        assert (await transport.send(HttpRequest(method=method, url=url))).status == 200
        with pytest.raises(TransportError) as caught:
            await transport.send(HttpRequest(method=method, url=url))
    finally:
        await transport.close()
        listening.close()
        await listening.wait_closed()

    assert caught.value.sent
    assert seen == [method, method]
    assert connections == 1, "both went over one connection, or the test shows nothing"
