"""How much one lookup may dial: `spec.MAX_DIALS` in all, and `spec.MAX_DIALS_AN_IP` at one global ip.

So a lookup cannot be used to flood a stranger, whatever addresses it is told. Loopback and private ranges are exempt from the second.
"""

from __future__ import annotations

from p2pnb import address, spec


class Dials:
    """The dials of one lookup; `count` of them were made."""

    __slots__ = ("_by_host", "count")

    def __init__(self) -> None:
        self.count = 0
        self._by_host: dict[str, int] = {}

    def take(self, ip: str) -> bool:
        """Whether `ip` may be dialled; if so, that is counted."""
        if self.count >= spec.MAX_DIALS:
            return False
        if address.scope_of(ip) == address.GLOBAL:
            host = address.host_of(ip)
            if self._by_host.get(host, 0) >= spec.MAX_DIALS_AN_IP:
                return False
            self._by_host[host] = self._by_host.get(host, 0) + 1
        self.count += 1
        return True
