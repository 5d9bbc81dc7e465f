"""The endpoints under ``/services/data/vNN.0``: each a function of an org and a call."""
