"""A process that dies or sleeps between the platform's answer and the save of its tokens."""

import asyncio

import pytest

from dovetail.app.token_keeper import LEASE_S
from dovetail.errors import AuthenticationError


async def stop_after_the_answer(account):
    """Let the first process ask for tokens, and stop it with the answer in its hands."""
    store = account.stores[0]
    account.vendor.after_answer = store.awake.clear
    await account.sleep(3600)
    asked = asyncio.create_task(account.call())
    await account.sleep(1)
    assert account.vendor.renewals == 1
    assert not asked.done()
    account.vendor.after_answer = None
    return store, asked


async def end(account, store, asked):
    store.awake.set()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await account.here.close()
    await account.close()


async def test_a_token_that_may_be_used_again_is_used_again(new_account):
    account = await new_account().open()
    other = await account.process()
    store, asked = await stop_after_the_answer(account)
    began = account.ports.clock.monotonic()

    assert await account.call(other) == "7"

    waited = account.ports.clock.monotonic() - began
    assert waited <= LEASE_S + 1, "the lease is bounded"
    assert account.vendor.renewals == 2
    await end(account, store, asked)


async def test_within_the_grace_of_a_platform_the_old_token_gives_the_same_answer(new_account):
    account = await new_account(single_use=True, grace_s=10 * LEASE_S).open()
    other = await account.process()
    store, asked = await stop_after_the_answer(account)

    assert await account.call(other) == "7"

    assert (await other.open(account.id)).keeper.credentials["refresh_token"] == "refresh-0002"
    assert not await account.is_refused()
    await end(account, store, asked)


async def test_without_a_grace_it_says_that_the_answer_was_lost(new_account):
    account = await new_account(single_use=True).open()
    other = await account.process()
    store, asked = await stop_after_the_answer(account)

    with pytest.raises(AuthenticationError, match="was cut off before its answer was stored"):
        await account.call(other)

    assert await account.refusal()
    await end(account, store, asked)


async def test_an_owner_that_wakes_up_late_still_saves_what_only_it_has(new_account):
    account = await new_account(single_use=True).open()
    other = await account.process()
    store, asked = await stop_after_the_answer(account)
    with pytest.raises(AuthenticationError):
        await account.call(other)

    store.awake.set()

    assert await asked == "7"
    assert not await account.is_refused(), "the work that was put off goes on by itself"
    await account.sleep(40)
    assert await account.call(other) == "7"
    await account.close()


async def test_an_owner_that_wakes_up_late_does_not_overwrite_later_tokens(new_account):
    account = await new_account().open()
    other = await account.process()
    store, asked = await stop_after_the_answer(account)
    await account.call(other)
    later = (await other.open(account.id)).keeper.credentials["access_token"]

    store.awake.set()
    assert await asked == "7"

    assert account.vendor.calls[-1] == later == "access-0003"
    row = await account.lease()
    assert row.saved_fence == row.fence
    await account.close()


async def test_a_person_who_connects_again_meanwhile_wins_over_a_renewal(new_account):
    account = await new_account().open()
    other = await account.process()
    store, asked = await stop_after_the_answer(account)
    account.vendor.access["access-9999"] = float("inf")
    await other.add(platform="hubspot", business_id="acme", secrets={"access_token": "access-9999"})

    store.awake.set()
    await asked

    assert account.vendor.calls[-1] == "access-9999"
    await account.close()


async def test_a_lease_of_a_clock_that_was_set_back_is_over(new_account):
    account = await new_account().open()
    other = await account.process()
    store, asked = await stop_after_the_answer(account)
    account.ports.clock._start -= 10 * (account.ports.clock.now() - account.ports.clock._start)

    account.vendor.access.clear()
    assert await account.call(other) == "7"
    await end(account, store, asked)
