"""What may go wrong, for `cluster.faults(...)` and `cluster.churn(...)`: `from p2pnb.faults import Latency, Liars, Weibull`."""

from p2pnb.cluster.churn import Churn, Recorded
from p2pnb.cluster.distributions import Always, Exponential, Lognormal, Weibull
from p2pnb.cluster.faults import Crash, DiskErrors, Fault, Latency, Liars, Loss, Partition, Resets, Skew, SlowReaders

__all__ = [
    "Always", "Churn", "Crash", "DiskErrors", "Exponential", "Fault", "Latency", "Liars", "Lognormal", "Loss", "Partition",
    "Recorded", "Resets", "Skew", "SlowReaders", "Weibull",
]  # fmt: skip
