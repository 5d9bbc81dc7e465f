"""A platform that prepares what comes next is waited for, and its trouble is told to people."""

from dovetail.errors import PermanentError
from dovetail.model.integration import SyncError


async def test_a_page_is_asked_for_when_there_is_something_to_ask_for(bench):
    b = await bench().start(("a", {}), ("b", {}))
    b["a"].add(First="Ada", Email="ada@x.com")
    b["a"].preparing = [{"wait_s": 30.0}, {"wait_s": 60.0}]
    started = b.clock.now()

    await b.settle()

    assert (b.clock.now() - started).total_seconds() >= 90
    assert [one.email for one in await b.contacts()] == ["ada@x.com"]
    assert await b.all(SyncError) == []
    await b.close()


async def test_trouble_on_the_way_is_told_and_reading_goes_on(bench):
    b = await bench().start(("a", {}), ("b", {}))
    b["a"].add(First="Ada", Email="ada@x.com")
    b["a"].preparing = [{"trouble": PermanentError("The job failed. It goes on without.")}]

    await b.settle()

    assert [one.email for one in await b.contacts()] == ["ada@x.com"]
    [error] = await b.all(SyncError)
    assert (error.error, error.code) == ("The job failed. It goes on without.", "permanent")
    assert (error.platform, error.entity_id) == ("a", None)
    await b.close()
