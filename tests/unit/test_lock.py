"""One running process per database, told apart by a lock of the operating system."""

import os
import subprocess
import sys

import pytest

from dovetail.app.lock import DatabaseLock
from dovetail.errors import EnvironmentInUseError

HOLD = """
import sys
from pathlib import Path
from dovetail.app.lock import DatabaseLock
DatabaseLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of ``app.db``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "app.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path, holder):
    lock = DatabaseLock(tmp_path / "app.db")

    with pytest.raises(EnvironmentInUseError) as caught:
        lock.acquire()

    assert str(holder.pid) in str(caught.value)
    assert "--database" in str(caught.value)
    assert lock.holder == str(holder.pid)


def test_a_killed_process_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()

    with DatabaseLock(tmp_path / "app.db") as lock:
        assert lock.holder == str(os.getpid())


def test_a_lock_that_is_let_go_can_be_taken_again(tmp_path):
    lock = DatabaseLock(tmp_path / "app.db")
    lock.acquire()
    lock.release()
    lock.release()

    assert lock.holder is None
    with DatabaseLock(tmp_path / "app.db"), pytest.raises(EnvironmentInUseError):
        lock.acquire()


def test_another_database_in_the_folder_has_a_lock_of_its_own(tmp_path):
    with DatabaseLock(tmp_path / "one.db"), DatabaseLock(tmp_path / "two.db") as two:
        assert two.holder == str(os.getpid())


def test_a_folder_that_takes_no_file_is_told(tmp_path):
    with pytest.raises(EnvironmentInUseError, match="cannot be written"):
        DatabaseLock(tmp_path / "nowhere" / "app.db").acquire()
