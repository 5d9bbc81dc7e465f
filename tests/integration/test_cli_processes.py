"""``dovetail`` as its users meet it: real processes, real HTTP, a database on disk."""

import json
import signal
import socket
import sqlite3
import stat
import threading
import urllib.request

import pytest

HANDLERS = """
from dovetail import Event, on, step
from dovetail.errors import PermanentError

fixed = False

@on("thing.happened")
async def handle(event: Event) -> None:
    if event.payload.get("fail"):
        raise PermanentError("this one cannot be handled")
"""


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def post(url, body):
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def contacts(url):
    return get(f"{url}/_sandbox/records/contacts")["records"]


def test_the_sandbox_tells_where_it_is_in_one_line_and_ends_when_asked(dovetail, free_port):
    process, told = dovetail.start(
        "sandbox", "hubspot", "salesforce", "--port", free_port(3), "--records", 8
    )
    hubspot, salesforce = told["platforms"]

    assert (hubspot["platform"], salesforce["platform"]) == ("hubspot", "salesforce")
    assert hubspot["credentials"]["access_token"]
    assert hubspot["webhook_secret"]
    assert len(contacts(hubspot["base_url"])) == 8
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=15)
    assert process.returncode == 0
    assert rest == "", "one line, and nothing after it"


def test_the_sandbox_loads_people_from_a_file(dovetail, free_port):
    (dovetail.folder / "people.csv").write_text(
        "first_name,last_name,email\nAda,Byron,ada@example.com\nGrace,Hopper,grace@example.com\n"
    )
    _, told = dovetail.start(
        "sandbox", "hubspot", "--port", free_port(2), "--records", 0, "--load", "people.csv"
    )

    found = {one["fields"]["email"] for one in contacts(told["platforms"][0]["base_url"])}
    assert found == {"ada@example.com", "grace@example.com"}


def test_a_wrong_file_for_the_sandbox_is_told_by_line_and_column(dovetail, free_port):
    (dovetail.folder / "people.csv").write_text("first_name,emial\nAda,ada@example.com\n")

    told = dovetail.run(
        "sandbox", "hubspot", "--port", free_port(2), "--load", "people.csv", code=2
    )

    assert "people.csv" in told.stderr
    assert "emial" in told.stderr


def test_a_taken_port_is_named_before_anything_is_served(dovetail, free_port):
    port = free_port(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        told = dovetail.run("sandbox", "hubspot", "--port", port, code=3)

    assert str(port + 1) in told.stderr


def test_running_on_a_taken_port_is_told(dovetail, crm_file):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = dovetail.run("run", crm_file, "--port", port, code=3)

    assert f"Port {port}" in told.stderr
    assert "--port" in told.stderr


def test_connect_and_sync_bring_two_crms_into_agreement(dovetail, crm_file):
    index, urls = dovetail.sandbox("hubspot", "salesforce", records=40)
    made = dovetail.json("connect", "--sandbox", index)["connections"]
    assert [one["platform"] for one in made] == ["hubspot", "salesforce"]

    done = dovetail.json("sync", crm_file)

    assert done["finished"]
    by_email = [
        {(one["fields"].get(name) or "").lower() for one in contacts(urls[platform])}
        for platform, name in (("hubspot", "email"), ("salesforce", "Email"))
    ]
    assert by_email[0] == by_email[1]
    again = dovetail.json("sync", crm_file)
    assert all(row["created"] == row["updated"] == 0 for row in again["platforms"])


def test_a_running_process_takes_an_edit_over_by_webhook(dovetail, crm_file, wait_until):
    index, urls = dovetail.sandbox("hubspot", "salesforce", records=12)
    dovetail.run("connect", "--sandbox", index)
    dovetail.json("sync", crm_file)
    dovetail.start("run", crm_file, "--port", 0)
    subscribed = f"{urls['hubspot']}/_sandbox/calls"
    wait_until(lambda: "subscriptions" in json.dumps(get(subscribed)))
    person = contacts(urls["hubspot"])[0]

    edit = {"resource": "contacts", "id": person["id"], "fields": {"city": "Byronville"}}
    post(f"{urls['hubspot']}/_sandbox/edit", edit)

    wait_until(
        lambda: any(
            one["fields"].get("MailingCity") == "Byronville" for one in contacts(urls["salesforce"])
        )
    )


def test_a_second_process_on_one_database_is_refused_and_the_first_goes_on(dovetail, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(HANDLERS)
    first, told = dovetail.start("run", program, "--port", 0)

    refused = dovetail.run("run", program, "--port", 0, code=3)

    assert str(first.pid) in refused.stderr
    assert "--database" in refused.stderr
    assert first.poll() is None
    assert get(f"http://127.0.0.1:{told['port']}/healthz") == {"status": "ok"}
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=15)
    assert first.returncode == 0


def test_sync_asks_the_process_that_runs(dovetail, crm_file):
    index, _ = dovetail.sandbox("hubspot", "salesforce", records=8)
    dovetail.run("connect", "--sandbox", index)
    dovetail.start("run", crm_file, "--port", 0)

    done = dovetail.run("sync", crm_file)

    assert "is asked to sync" in done.stderr


def test_credentials_come_from_the_environment_and_are_kept_sealed(dovetail, free_port):
    port = free_port(2)
    _, told = dovetail.start("sandbox", "hubspot", "--port", port, "--records", 0)
    hubspot = told["platforms"][0]
    token = hubspot["credentials"]["access_token"]

    dovetail.run(
        "connect",
        "hubspot",
        "--base-url",
        hubspot["base_url"],
        env={"DOVETAIL_HUBSPOT_TOKEN": token},
    )

    listed = dovetail.json("connect", "--list")["connections"]
    assert [one["status"] for one in listed] == ["active"]
    everything = b"".join(path.read_bytes() for path in dovetail.folder.iterdir() if path.is_file())
    assert token.encode() not in everything
    key = dovetail.folder / "dovetail.db.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_wrong_token_is_refused_by_the_platform_and_not_kept(dovetail):
    _, urls = dovetail.sandbox("hubspot", records=0)

    told = dovetail.run(
        "connect",
        "hubspot",
        "--base-url",
        urls["hubspot"],
        "--token-stdin",
        stdin="pat-na1-00000000-0000-0000-0000-000000000000\n",
        code=4,
    )

    assert "pat-na1" not in told.stderr
    assert dovetail.json("connect", "--list")["connections"] == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["connect", "hubspott"], "hubspot"),
        (["connect", "hubspot"], "DOVETAIL_HUBSPOT_TOKEN"),
        (["connect", "--sandbox", "http://127.0.0.1:9"], "no sandbox"),
        (["run", "nowhere.py"], "no file"),
        (["run", "notes.txt"], "neither"),
        (["sandbox", "hubspit"], "hubspot"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_without_a_traceback(dovetail, arguments, part):
    (dovetail.folder / "notes.txt").write_text("hello")
    code = 4 if "--sandbox" in arguments else 2

    told = dovetail.run(*arguments, code=code)

    assert part in told.stderr
    assert "Traceback" not in told.stderr


def test_an_error_is_json_when_json_is_asked_for(dovetail):
    told = dovetail.run("run", "nowhere.py", "--json", code=2)

    assert json.loads(told.stdout)["error"]["code"] == "config"


def test_a_folder_that_does_not_exist_or_cannot_be_written_is_told(dovetail, crm_file):
    missing = dovetail.run("sync", crm_file, "--database", "no/such/folder/app.db", code=3)
    assert "no/such/folder" in missing.stderr
    # /proc takes no files, whoever asks: permissions alone would not stop root.
    unwritable = dovetail.run("run", crm_file, "--port", 0, "--database", "/proc/app.db", code=3)
    assert "/proc/app.db" in unwritable.stderr


def test_a_locked_database_is_waited_for(dovetail, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(HANDLERS)
    first, _ = dovetail.start("run", program, "--port", 0)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=15)
    blocker = sqlite3.connect(tmp_path / "dovetail.db", check_same_thread=False)
    blocker.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(1.5, blocker.rollback)
    release.start()

    second, told = dovetail.start("run", program, "--port", 0)

    release.join()
    blocker.close()
    assert second.poll() is None
    assert get(f"http://127.0.0.1:{told['port']}/readyz") == {"ready": True}


def test_dead_letters_are_listed_shown_replayed_and_discarded(dovetail, tmp_path, wait_until):
    program = tmp_path / "program.py"
    program.write_text(HANDLERS + SENDER)
    dovetail.start("run", program, "--port", 0)
    letter = wait_until(lambda: dovetail.json("dead", "list")["dead"])[0]

    shown = dovetail.json("dead", "show", letter["id"])
    assert "cannot be handled" in json.dumps(shown)
    dovetail.run("dead", "replay", letter["id"])
    wait_until(lambda: dovetail.json("dead", "list")["dead"])
    dovetail.run("dead", "discard", letter["id"])
    assert dovetail.json("dead", "list")["dead"] == []


def test_events_are_shown_and_replayed(dovetail, tmp_path, wait_until):
    program = tmp_path / "program.py"
    program.write_text(HANDLERS + SENDER)
    dovetail.start("run", program, "--port", 0)

    def found():
        told = dovetail.run("events", "tail", "--pattern", "thing.*", "--json").stdout
        return [json.loads(line) for line in told.splitlines()]

    event = wait_until(found)[0]
    shown = dovetail.json("events", "show", event["id"])
    assert len(shown["deliveries"]) == 1
    dovetail.run("events", "replay", event["id"])
    wait_until(lambda: len(dovetail.json("events", "show", event["id"])["deliveries"]) == 2)


SENDER = """
from dovetail import Entity, db, every, send

class Sent(Entity):
    pass

@every("1 second")
async def begin() -> None:
    if await db.count(Sent) == 0:
        await db.create(Sent)
        await send("thing.happened", {"fail": True}, key="one")
"""


def test_doctor_finds_a_healthy_world_healthy(dovetail):
    index, _ = dovetail.sandbox("hubspot", "salesforce", records=0)
    dovetail.run("connect", "--sandbox", index)

    told = dovetail.json("doctor")

    assert {one["status"] for one in told["findings"]} == {"ok"}


def test_a_wrong_declaration_is_explained_whole(dovetail):
    (dovetail.folder / "wrong.yaml").write_text(
        "name: Wrong\n"
        "integration:\n  platforms: [hubspott]\n  syncMode: bidirectionl\n  entities: [contacts]\n"
        "mappings:\n  contact:\n    hubspot:\n      email: emial\n"
    )

    told = dovetail.run("check", "wrong.yaml", code=2)

    for part in ("hubspott", "hubspot", "bidirectionl", "bidirectional", "emial", "email"):
        assert part in told.stderr + told.stdout
