"""The Bus port and its adapters."""
