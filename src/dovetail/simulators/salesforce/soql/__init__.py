"""SOQL, as far as integrations use it: read, check against the objects, run over indexed rows."""
