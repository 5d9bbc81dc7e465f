"""
A small disk of its own for the database, so that it can really be full.

Where this process may mount (as root), the folder becomes an ext4 file system in a file, 64 MiB
large: a full one answers ENOSPC to the worker, the sender and the replayer alike. `__main__` starts
the storm in a mount namespace of its own then, so that nothing stays mounted whatever happens.

Elsewhere a quota stands in: RLIMIT_FSIZE of the running worker, set from outside, answers EFBIG to
every write beyond it, which SQLite calls a disk I/O error rather than a full disk.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

_SIZE = 64 * 1024 * 1024
_QUOTA = 512 * 1024
"""Beyond any log of one worker, within what the log of the database soon grows to."""


class Volume:
    """
    The folder of the database.

    Args:
        folder: Where it is made.
        image: The file that holds it when it is mounted.
    """

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self._image = image
        self._ballast = folder / "ballast"
        self.is_mounted = False

    def make(self) -> None:
        """Make the folder, on a file system of its own where that is permitted."""
        self.folder.mkdir(parents=True)
        if os.environ.get("TORTURE_MOUNTS") != "1" or shutil.which("mkfs.ext4") is None:
            return
        with self._image.open("wb") as image:
            image.truncate(_SIZE)
        self.is_mounted = _succeeds("mkfs.ext4", "-q", str(self._image)) and _succeeds(
            "mount", "-o", "loop", str(self._image), str(self.folder)
        )

    def remove(self) -> None:
        """Unmount; the folder with the evidence can be removed then."""
        if self.is_mounted:
            _succeeds("umount", str(self.folder))
            self.is_mounted = False
        self._image.unlink(missing_ok=True)

    def fill(self, worker: int | None) -> None:
        """Leave no room for the worker with that process id, or for anybody."""
        if not self.is_mounted:
            _limit(worker, _QUOTA)
            return
        handle = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            for size in (1024 * 1024, 4096, 1):
                _until_full(lambda size=size: os.write(handle, bytes(size)))  # type: ignore[misc]
            # Blocks are given out late: only now is it known that there are none left.
            _until_full(lambda: os.fsync(handle) or 0)
        finally:
            os.close(handle)

    def free(self, worker: int | None) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)
        if not self.is_mounted:
            _limit(worker, resource.RLIM_INFINITY)


def may_mount() -> bool:
    """Whether this process may mount in a namespace of its own."""
    return shutil.which("unshare") is not None and _succeeds("unshare", "-m", "true")


def set_immutable(files: list[Path], *, on: bool) -> bool:
    """Let nobody write to these files, root neither; False where that is not permitted."""
    there = [str(file) for file in files if file.exists()]
    return shutil.which("chattr") is not None and _succeeds("chattr", "+i" if on else "-i", *there)


def _limit(worker: int | None, size: int) -> None:
    if worker is None:
        return
    try:
        _, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, hard))
    except ProcessLookupError:
        pass


def _until_full(write: Callable[[], int]) -> None:
    try:
        while write():
            pass
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
