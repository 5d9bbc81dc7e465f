"""
Public test kit: a loop with virtual time, an in-process transport, and contract suites.

Product code never imports it.
"""
