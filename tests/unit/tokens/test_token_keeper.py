"""Access tokens: renewed once for all, ahead of time, and never at the price of a refresh token."""

import asyncio

import pytest

from dovetail.core.transport import HttpResponse, TransportError
from dovetail.errors import (
    AuthenticationError,
    MissingCredentialError,
    PlatformUnavailableError,
    StoreError,
    TransientError,
)


async def test_a_token_is_renewed_ahead_of_its_end_while_calls_go_on_with_the_old_one(new_account):
    account = await new_account().open()
    vendor = account.vendor
    await account.sleep(1499)
    await account.call()
    assert vendor.renewals == 0

    await account.sleep(2)
    vendor.delay_s = 5
    vendor_calls = len(vendor.calls)
    await account.call()
    assert vendor.calls[vendor_calls] == "access-0001", "nobody waits for the renewal"
    await account.sleep(20)
    vendor.delay_s = 0
    await account.call()

    assert vendor.calls[-1] == "access-0002"
    assert vendor.renewals == 1
    await account.close()


async def test_many_callers_of_an_ended_token_cause_one_renewal(new_account):
    account = await new_account(single_use=True).open()
    account.vendor.delay_s = 2
    await account.sleep(3600)

    told = await asyncio.gather(*(account.call() for _ in range(50)))

    assert set(told) == {"7"}
    assert account.vendor.renewals == 1
    assert set(account.vendor.calls[1:]) == {"access-0002"}
    await account.close()


@pytest.mark.parametrize("single_use", [True, False])
async def test_processes_on_one_store_renew_once_between_them(new_account, single_use):
    account = await new_account(single_use=single_use).open()
    processes = [account.here, *[await account.process() for _ in range(4)]]
    await account.sleep(3600)
    account.vendor.delay_s = 3

    told = await asyncio.gather(*(account.call(one) for one in processes for _ in range(5)))

    assert set(told) == {"7"}
    assert account.vendor.renewals == 1
    assert not await account.is_refused()
    await account.close()


async def test_the_new_refresh_token_is_durable_before_the_new_access_token_is_used(new_account):
    account = await new_account(single_use=True).open()
    other = await account.process()
    await account.sleep(3600)
    await account.call()

    # A process that starts now finds what the platform gave, without asking again.
    opened = await other.open(account.id)

    assert opened.keeper.credentials["refresh_token"] == "refresh-0002"
    assert account.vendor.renewals == 1
    assert (await account.lease()).owner is None
    await account.close()


async def test_a_caller_that_gives_up_does_not_end_the_renewal_of_others(new_account):
    account = await new_account(single_use=True).open()
    await account.sleep(3600)
    account.vendor.delay_s = 5
    impatient = asyncio.create_task(account.call())
    patient = asyncio.create_task(account.call())
    await account.sleep(1)

    impatient.cancel()

    assert await patient == "7"
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert account.vendor.renewals == 1
    await account.close()


async def test_a_process_that_ends_lets_its_renewal_come_to_its_end(new_account):
    account = await new_account(single_use=True).open()
    await account.sleep(1600)
    account.vendor.delay_s = 5
    await account.call()

    await account.here.close()

    other = await account.process()
    assert (await other.open(account.id)).keeper.credentials["access_token"] == "access-0002"
    await account.close()


async def test_a_token_endpoint_that_is_away_costs_nothing_while_the_old_token_lasts(new_account):
    account = await new_account().open()
    account.vendor.failures = [HttpResponse(status=503)] * 3 + [
        TransportError("refused", sent=False)
    ]
    await account.sleep(1501)
    for _ in range(28):
        await account.call()
        await account.sleep(10)

    assert "access-0001" in account.vendor.calls
    assert account.vendor.calls[-1] == "access-0002"
    assert account.vendor.renewals == 5, "with growing pauses, not once a call"
    await account.close()


async def test_with_an_ended_token_and_no_endpoint_the_work_waits(new_account):
    account = await new_account().open()
    account.vendor.failures = [HttpResponse(status=500)] * 2
    await account.sleep(3600)

    with pytest.raises(PlatformUnavailableError, match="HubSpot gave no token"):
        await account.call()
    with pytest.raises(PlatformUnavailableError):
        await account.call()
    assert account.vendor.renewals == 1, "not asked again at once"
    await account.sleep(5)
    with pytest.raises(PlatformUnavailableError):
        await account.call()
    await account.sleep(60)

    assert await account.call() == "7"
    assert not await account.is_refused()
    await account.close()


async def test_the_endpoint_says_how_long_to_wait(new_account):
    account = await new_account().open()
    account.vendor.failures = [HttpResponse(status=429, headers={"retry-after": "40"})]
    await account.sleep(3600)

    with pytest.raises(TransientError):
        await account.call()
    await account.sleep(39)
    with pytest.raises(TransientError):
        await account.call()
    assert account.vendor.renewals == 1
    await account.sleep(2)
    await account.call()
    await account.close()


async def test_an_answer_that_never_comes_is_asked_for_again_with_the_old_token(new_account):
    account = await new_account(single_use=True, grace_s=600).open()
    await account.sleep(3600)
    account.vendor.delay_s = 100

    with pytest.raises(PlatformUnavailableError, match="no answer in time"):
        await account.call()
    account.vendor.delay_s = 0
    await account.sleep(10)

    assert await account.call() == "7"
    await account.close()


async def test_a_refused_refresh_token_marks_the_connection_and_keeps_it(new_account):
    account = await new_account().open()
    account.vendor.revoked = True
    await account.sleep(3600)

    with pytest.raises(AuthenticationError, match="dovetail connect hubspot") as caught:
        await account.call()
    with pytest.raises(AuthenticationError):
        await account.call()

    assert account.vendor.renewals == 1, "what was refused is not asked again at once"
    assert "invalid refresh token" in (await account.refusal()).why
    assert "refresh-0001" not in str(caught.value.to_record())
    assert len(await account.here.list()) == 1
    await account.close()


async def test_connecting_again_ends_the_refusal(new_account):
    account = await new_account().open()
    account.vendor.revoked = True
    await account.sleep(3600)
    with pytest.raises(AuthenticationError):
        await account.call()

    account.vendor.revoked = False
    account.vendor.access["access-9999"] = float("inf")
    await account.here.add(
        platform="hubspot", business_id="acme", secrets={"access_token": "access-9999"}
    )

    assert not await account.is_refused()
    assert await account.call() == "7"
    await account.close()


@pytest.mark.parametrize("restarts", [False, True])
async def test_an_accepted_call_ends_the_refusal_whoever_makes_it(new_account, restarts):
    account = await new_account().open()
    await account.here.add(
        platform="hubspot", business_id="acme", secrets={"access_token": "access-0001"}
    )
    kept = dict(account.vendor.access)
    account.vendor.access.clear()
    with pytest.raises(AuthenticationError):
        await account.call()
    assert await account.is_refused()

    account.vendor.access = kept
    assert await account.call(await account.process() if restarts else None) == "7"

    assert not await account.is_refused()
    await account.close()


async def test_a_refusal_that_could_not_be_ended_for_a_locked_database_ends_with_the_next_call(
    new_account,
):
    account = await new_account().open()
    await account.here.add(
        platform="hubspot", business_id="acme", secrets={"access_token": "access-0001"}
    )
    kept = dict(account.vendor.access)
    account.vendor.access.clear()
    with pytest.raises(AuthenticationError):
        await account.call()
    account.vendor.access = kept

    account.vendor.delay_s = 5
    call = asyncio.create_task(account.call())
    await account.sleep(1)
    account.stores[0].refusing = StoreError("The database is locked.", refusal="locked")
    assert await call == "7"
    account.stores[0].refusing = None
    assert await account.is_refused()
    assert await account.call() == "7"

    assert not await account.is_refused()
    await account.close()


async def test_a_call_refused_in_spite_of_a_good_token_renews_once_and_is_sent_again(new_account):
    account = await new_account(single_use=True).open()
    account.vendor.access.clear()

    told = await asyncio.gather(*(account.call() for _ in range(20)))

    assert set(told) == {"7"}
    assert account.vendor.renewals == 1
    await account.close()


async def test_a_call_refused_with_a_fresh_token_too_is_the_end(new_account):
    account = await new_account().open()
    account.vendor.access.clear()
    account.vendor.life_s = 0

    with pytest.raises(AuthenticationError, match="EXPIRED_AUTHENTICATION"):
        await account.call()

    assert account.vendor.renewals == 1
    assert await account.is_refused()
    await account.close()


async def test_a_token_that_a_person_gave_is_refused_at_once(new_account):
    account = await new_account().open()
    await account.here.add(
        platform="hubspot", business_id="acme", secrets={"access_token": "access-0001"}
    )
    account.vendor.access.clear()

    with pytest.raises(AuthenticationError):
        await account.call()

    assert account.vendor.renewals == 0
    assert await account.is_refused()
    await account.close()


async def test_a_removed_connection_is_told_when_its_token_ends(new_account):
    account = await new_account().open()
    other = await account.process()
    await account.call(other)
    await account.here.remove(account.id)
    await account.sleep(3600)

    with pytest.raises(MissingCredentialError, match="was removed"):
        await account.call(other)
    assert account.vendor.renewals == 0
    await account.close()
