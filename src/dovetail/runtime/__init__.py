"""Durable execution: events, deliveries, runs and steps. Knows functions and rows, no platforms."""
