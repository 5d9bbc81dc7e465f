"""One stateful stand-in per platform, speaking the platform's HTTP."""
