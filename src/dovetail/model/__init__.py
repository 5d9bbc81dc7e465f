"""Entities and events: the shapes that every layer above speaks in."""
