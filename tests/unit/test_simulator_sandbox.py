"""Building, loading and serving simulators."""

from __future__ import annotations

import asyncio
import socket

import pytest

from dovetail.core import json
from dovetail.core.clock import SystemClock
from dovetail.core.transport import HttpRequest, TransportError
from dovetail.errors import ConfigError, EnvironmentInUseError, UnknownPlatformError
from dovetail.simulator_sdk.outgoing import OutgoingTransport
from dovetail.simulator_sdk.sandbox import (
    build_simulators,
    serve_sandbox,
    simulated_platforms,
    simulator_class,
)
from dovetail.testing.asgi import AsgiTransport


def build(*, load=(), **options):
    return build_simulators(
        ["hubspot"], clock=SystemClock(), transport=AsgiTransport(), load=load, **options
    )[0]


def write(tmp_path, text, name="contacts.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


async def emails(simulator):
    return [record.fields.get("email") for record in simulator.tables["contacts"]]


def test_platforms_are_what_the_folder_holds():
    assert "hubspot" in simulated_platforms()
    assert simulator_class("hubspot").platform == "hubspot"


def test_an_unknown_platform_names_the_closest():
    with pytest.raises(UnknownPlatformError, match="'hubspto'; did you mean 'hubspot'"):
        simulator_class("hubspto")


@pytest.mark.parametrize("header", ["email,firstname", "email,first_name", "\ufeffemail,firstname"])
async def test_a_file_may_use_the_platforms_names_or_ours(tmp_path, header):
    path = write(tmp_path, f"{header}\nAda@example.com,Ada\nbob@example.com,\n")
    simulator = build(load=[path])

    assert await emails(simulator) == ["ada@example.com", "bob@example.com"]
    assert simulator.tables["contacts"].at(0).fields["firstname"] == "Ada"


async def test_a_loaded_file_belongs_to_the_seeded_state(tmp_path):
    simulator = build(load=[write(tmp_path, "email\nada@example.com\n")], records=10)
    await simulator.reset()

    assert (await emails(simulator))[-1] == "ada@example.com"
    assert len(simulator.tables["contacts"]) == 11


async def test_the_name_of_a_file_says_where_it_goes(tmp_path):
    path = write(tmp_path, "name,domain\nAcme,example.com\n", "hubspot-companies.csv")
    simulator = build(load=[path])

    assert len(simulator.tables["companies"]) == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("email,shoe_size\na@example.com,9\n", "line 1, column 'shoe_size': HubSpot has no such"),
        ("email\nada@example.com\nbad address\n", "line 3, column 'email': HubSpot refuses"),
        (
            "email\nada@example.com\nADA@example.com\n",
            "line 3: HubSpot refuses the row: Contact al",
        ),
        ("email,phone\na@example.com\n", "line 2: the row has 1 cells"),
        ("email,email\n", "column 'email' appears twice"),
        ("firstname,first_name\n", "column 'first_name': 'firstname' is the same"),
        ("", "line 1"),
        ('email\n"open\n', "not CSV"),
        (b"email\n\xff\n", "not UTF-8"),
    ],
    ids=str,
)
async def test_a_wrong_file_names_file_line_and_column(tmp_path, text, named):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        build(load=[path])

    assert str(path) in str(caught.value)
    assert named in str(caught.value)


async def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.csv"):
        build(load=[tmp_path / "nowhere.csv"])


class Sandbox:
    """A served sandbox on free ports."""

    def __init__(self, *platforms, **options):
        self.ready: asyncio.Future = asyncio.get_running_loop().create_future()
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(
            serve_sandbox(
                platforms,
                port=options.pop("port", 0),
                on_ready=self.ready.set_result,
                stop=self.stop,
                **options,
            )
        )

    async def __aenter__(self):
        await asyncio.wait([self.ready, self.task], return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            self.task.result()
        return (await self.ready)[0]

    async def __aexit__(self, *error):
        self.stop.set()
        await self.task


async def send(described, method, path, body=None, transport=None):
    carrier = transport or OutgoingTransport()
    try:
        return await carrier.send(
            HttpRequest(
                method=method,
                url=described["base_url"] + path,
                headers={"authorization": f"Bearer {described['credentials']['access_token']}"},
                body=b"" if body is None else json.encode(body),
            )
        )
    finally:
        await carrier.close()


@pytest.mark.real_time
async def test_a_sandbox_serves_over_sockets_and_stops():
    async with Sandbox("hubspot", records=5) as described:
        answer = await send(described, "GET", "/crm/v3/objects/contacts")

        assert answer.status == 200
        assert len(json.decode(answer.body)["results"]) == 5
        assert set(described) >= {"platform", "base_url", "credentials", "webhook_secret"}
    with pytest.raises(TransportError) as caught:
        await send(described, "GET", "/crm/v3/objects/contacts")
    assert caught.value.sent is False


@pytest.mark.real_time
async def test_the_index_lists_the_platforms_on_the_ports_that_follow():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with Sandbox("hubspot", port=port) as described:
        index = {**described, "base_url": f"http://127.0.0.1:{port}"}
        answer = await send(index, "GET", "/")
        missing = await send(index, "GET", "/nowhere")

        assert json.decode(answer.body) == {"platforms": [described]}
        assert described["base_url"] == f"http://127.0.0.1:{port + 1}"
        assert missing.status == 404


@pytest.mark.real_time
async def test_a_cut_connection_is_cut_over_a_socket_too():
    async with Sandbox("hubspot") as described:
        fault = {"faults": [{"kind": "cut_after", "count": 1}]}
        await send(described, "POST", "/_sandbox/faults", fault)
        body = {"properties": {"email": "ada@example.com"}}
        with pytest.raises(TransportError) as caught:
            await send(described, "POST", "/crm/v3/objects/contacts", body)
        answer = await send(described, "GET", "/crm/v3/objects/contacts")

        assert caught.value.sent is True
        assert len(json.decode(answer.body)["results"]) == 1


@pytest.mark.real_time
async def test_webhooks_leave_over_sockets():
    """The sandbox's own index is a receiver that answers 404: the delivery arrives and fails."""
    async with Sandbox("hubspot", records=1) as described:
        await send(
            described, "POST", "/_sandbox/webhooks", {"url": described["base_url"] + "/hook"}
        )
        edit = {"resource": "contacts", "fields": {"firstname": "Ada"}}
        await send(described, "POST", "/_sandbox/edit", edit)
        for _ in range(100):
            calls = json.decode((await send(described, "GET", "/_sandbox/calls")).body)["calls"]
            if calls:
                break
            await asyncio.sleep(0.02)

        assert calls == [{"method": "POST", "path": "(unknown)", "status": 401, "count": 1}]


@pytest.mark.real_time
async def test_a_taken_port_is_refused_before_anything_is_served():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentInUseError, match=rf"127\.0\.0\.1:{port}.*--port"):
            await Sandbox("hubspot", port=port).__aenter__()
        with pytest.raises(EnvironmentInUseError, match=str(port)):
            await Sandbox("hubspot", port=port - 1).__aenter__()


@pytest.mark.real_time
async def test_a_cancelled_sandbox_releases_its_ports():
    sandbox = Sandbox("hubspot")
    described = await sandbox.__aenter__()
    sandbox.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sandbox.task
    with pytest.raises(TransportError):
        await send(described, "GET", "/")
