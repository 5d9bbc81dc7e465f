"""``dovetail secrets``: the keys under which credentials are stored."""

from __future__ import annotations

from typing import Annotated

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import Screen

app = new_app(help="The keys under which credentials are stored.")

DropOld = Annotated[
    bool, typer.Option("--drop-old", help="Take keys that seal nothing any more out of the file.")
]


@app.command()
@command
async def rotate(screen: Screen, drop_old: DropOld = False, database: Database = None) -> None:
    """
    Seal every connection under a new key.

    With a key file, a new key is put in front of it. With DOVETAIL_SECRET_KEY, put the new key in
    front yourself (NEW,OLD); the first one is used. What was cut off goes on when it is run again,
    and processes that run meanwhile keep working.
    """
    from dovetail.app.rotation import drop_unused, is_finished, rewrap_all
    from dovetail.core.key_file import KeyFile, new_key

    async with opened(database) as world:
        source = world.key_source
        if isinstance(source, KeyFile) and await is_finished(world.store, world.box):
            source.add(new_key())
        done = await rewrap_all(world.store, world.box)
        dropped = 0
        if drop_old and isinstance(source, KeyFile):
            dropped = await drop_unused(world.store, source)
        told = {
            "key": world.box.key_id,
            "moved": done.moved,
            "connections": done.total,
            "dropped_keys": dropped,
        }
    if screen.json:
        screen.document(told)
        return
    screen.text(
        f"{done.moved} of {done.total} connections are now sealed under key {told['key']}; the "
        "others were before."
    )
    if dropped:
        screen.text(f"Took {dropped} old keys out of the file.")
    elif drop_old and not isinstance(source, KeyFile):
        screen.note("The keys come from DOVETAIL_SECRET_KEY: take the old ones out of it yourself.")


@app.command(name="new-key")
@command
async def make_key(screen: Screen) -> None:
    """Print a new key for DOVETAIL_SECRET_KEY, 32 random bytes in base64."""
    from dovetail.core.key_file import new_key

    key = new_key()
    if screen.json:
        screen.document({"key": key.to_base64(), "id": key.id.hex()})
    else:
        screen.text(key.to_base64())
