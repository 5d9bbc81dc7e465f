"""What goes wrong between an app and a platform in more than one story."""

import asyncio

import pytest


@pytest.fixture
def deafen():
    """Let a platform apply what is asked and never answer; the event says that it has applied."""

    def deafened(world, name, is_meant):
        simulator, sent = world.simulators[name], asyncio.Event()

        async def mute(scope, receive, send):
            if is_meant(scope):
                await simulator.app(scope, receive, swallow)
                sent.set()
                await asyncio.Event().wait()
            await simulator.app(scope, receive, send)

        async def swallow(message):
            pass

        world.transport.add(simulator.base_url, mute)
        return sent

    return deafened
