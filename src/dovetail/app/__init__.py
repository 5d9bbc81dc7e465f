"""The composition root: the only place that wires store, runtime, connectors and services."""
