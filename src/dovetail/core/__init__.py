"""Kernel with no domain: clock, ids, JSON, secrets, settings, log, and the ports."""
