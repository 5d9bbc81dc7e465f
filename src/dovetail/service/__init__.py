"""The declaration API: what a user writes."""
