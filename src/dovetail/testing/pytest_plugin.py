"""pytest plugin: runs ``async def`` tests on a virtual-time loop (see `dovetail.testing.loop`)."""
