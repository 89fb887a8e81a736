"""Which address this machine has in its local network, for classrooms: `host="lan"`."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from p2pnb.brief import brief


def resolve(host: Any) -> str:
    """An address of this machine to listen at: "lan" is looked up, an address is taken as it is.

    Raises `ValueError` for names, and for 0.0.0.0, which others could not be told.
    """
    if host == "lan":
        return lan_address()
    try:
        address = ipaddress.ip_address(host if isinstance(host, str) else "")
    except ValueError:
        raise brief(ValueError(f'host is an address of this machine, "127.0.0.1" or "lan", not {host!r}')) from None
    if address.is_unspecified or address.is_multicast:
        raise brief(ValueError(f'{host} is not one address that others can be told: use "lan", or the address of one interface'))
    return str(address)


def lan_address() -> str:
    """This machine's address towards the rest of its network. No packet is sent: the kernel only chooses a route.

    Raises `OSError` when there is none.
    """
    for family, anywhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "10.255.255.255"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((anywhere, 9))
            except OSError:
                continue
            address: str = probe.getsockname()[0]
            if not ipaddress.ip_address(address).is_loopback:
                return address
    raise OSError("this machine has no address in a local network: connect it first, or stay on loopback (leave out host)")
