"""
Kit for simulators: stateful stand-ins that speak a platform's real HTTP.

A simulator subclasses `base.Simulator`; the kit gives it tables of records, the sandbox's control
endpoints, faults, strict rate limits, webhooks, seed data, and a server. It shares no code with
connectors, so that one misreading of a platform cannot hide in both.
"""
