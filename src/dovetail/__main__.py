"""``python -m dovetail`` is the ``dovetail`` command."""

from dovetail.cli.main import main

main()
