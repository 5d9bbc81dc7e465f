"""
Salesforce, written from its documentation: one org with its REST API, SOQL and login.

::

    simulator   HTTP, login, limits, control endpoints
    rest/       one file per group of endpoints; functions of an org and a call
    write       the rules of creating, changing, deleting, merging
    soql/       queries: lexer, parser, binding to fields, plan over indexes
    org, table  rows, their versions, what queries see of them
    catalog     objects and their fields; value: what of a sent value is kept
"""

from dovetail.simulators.salesforce.simulator import Salesforce

__all__ = ["Salesforce"]
