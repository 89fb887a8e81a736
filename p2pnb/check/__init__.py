"""Checks of a student's own policies: `check.lookup(MyLookup)`, `check.nearest(f)`, `check.merge(g)`.

Each runs the policy through small cases and small simulated networks, without a cluster, and returns a `Report`: a frame with
a row a case (`case`, `expected`, `got`, `points`, `of`), and a picture of the first case that went wrong. The same seed gives
the same cases, and the same points on every machine: nothing is measured in time. A loop that never ends is stopped.

    from p2pnb import check
    check.lookup(MyLookup)                           # in a cell: how far am I?
    check.lookup(MyLookup, seed=2026).assert_all()   # in a hidden test: raises AssertionError that lists what is missing

What the policies get and give back is described in `p2pnb.dht.policies`. p2pnb's own decisions get all points.
"""

from p2pnb.check.bags import merge
from p2pnb.check.lookups import lookup
from p2pnb.check.report import Report
from p2pnb.check.tables import nearest
from p2pnb.dht.policies import LookupPolicy

__all__ = ["LookupPolicy", "Report", "lookup", "merge", "nearest"]
