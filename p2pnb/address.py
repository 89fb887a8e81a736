"""Which addresses may be told to whom: scopes, network groups, and what can be dialled at all.

A peer that listens on loopback must not be named to the internet, nor one in a living room to a stranger. So addresses
have scopes, loopback < private < global, and an address is accepted from, and listed to, only an end of the same or a
narrower scope. Groups (a /24, or a /48 of IPv6) stand for "one operator" where Sybils are counted.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

LOOPBACK, PRIVATE, GLOBAL = 0, 1, 2


@lru_cache(maxsize=65_536)
def scope_of(ip: str) -> int | None:
    """LOOPBACK, PRIVATE or GLOBAL; None for what is not the address of one host (a name, multicast, unspecified...)."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        if address.ipv4_mapped is not None:
            return scope_of(str(address.ipv4_mapped))
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        return None
    if address.is_loopback:
        return LOOPBACK
    if address.is_link_local or not address.is_global:
        return PRIVATE
    return GLOBAL


@lru_cache(maxsize=65_536)  # asked for each of 20 contacts a reply, at both ends
def may_tell(ip: str, other_ip: str) -> bool:
    """Whether the address `ip` may be listed to, or accepted from, the end at `other_ip`."""
    scope, other = scope_of(ip), scope_of(other_ip)
    return scope is not None and other is not None and scope >= other


def is_dialable(ip: str, port: int) -> bool:
    """Whether `ip` and `port` name one host and a real port: no DNS name, multicast, unspecified address or port 0."""
    return 0 < port < 65_536 and scope_of(ip) is not None


def account_of(ip: str) -> str | None:
    """To whom what comes from an address is charged: its network group, or a private address itself; None for loopback (exempt).

    Uids cost nothing, so a machine with a thousand of them is still one machine.
    """
    return ip if scope_of(ip) == PRIVATE else group_of(ip)


@lru_cache(maxsize=65_536)
def group_of(ip: str) -> str | None:
    """The network group of a global address, such as "192.0.2.0/24"; None for loopback and private ones (exempt)."""
    if scope_of(ip) != GLOBAL:
        return None
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


@lru_cache(maxsize=65_536)
def host_of(ip: str) -> str:
    """The one spelling of an address by which it is counted: `::ffff:192.0.2.1` is the host 192.0.2.1."""
    host = ipaddress.ip_address(ip)
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return str(mapped or host)


def is_same_host(ip: str, other_ip: str) -> bool:
    """Whether two addresses are those of one host, however they are spelled."""
    return ip == other_ip or (scope_of(ip) is not None and scope_of(other_ip) is not None and host_of(ip) == host_of(other_ip))
