"""Why: the words for what ends a link, and the sentences that tell somebody what to do about it.

A word is short, fixed and counted (`Endpoint.counters`); those that a dial can fail with are the `reason` of `PeerUnreachable`.
Nothing that a stranger sent ever becomes part of a sentence.
"""

from __future__ import annotations

import errno

from p2pnb.errors import PeerUnreachable, ProtocolError
from p2pnb.wire.noise import HandshakeError
from p2pnb.wire.sexp import SexpError

_UNREACHABLE = {
    "refused": "nothing listens at {address}: is the port right, and does its node still run?",
    "timeout": "no answer from {address} within {seconds:g} s: a firewall, wifi that isolates its guests, or a node that hangs",
    "not-a-peer": "whatever listens at {address} does not speak this protocol, or ended the connection while being greeted",
    "other-network": "{address} is in a network of another name: use the same name on both sides (this one's is {network!r})",
    "wrong-uid": "{address} is another peer than the one that was expected there{detail}",
    "self": "{address} is this very peer",
    "closed": "this peer was closed: it cannot reach {address}, nor anybody else",
    "unreachable": "{address} cannot be reached from here{detail}",
}
# what the end of a link that was never open means to whoever dialled
_OF_A_DIAL = {"own-key": "self", "hung up": "not-a-peer", "reset": "not-a-peer", "evicted": "unreachable", "cut": "unreachable"}
_LISTENING = {
    errno.EADDRINUSE: "{which} on {ip} is in use: close what uses it, choose another port, or take port=0 for any that is free",
    errno.EADDRNOTAVAIL: "{which} cannot be opened: {ip} is not an address of this machine",
    errno.EACCES: "{which} on {ip} needs privileges: choose one above 1023",
}


def of_violation(error: ProtocolError, opening: bool) -> str:
    """The word for a violation of the protocol, during the handshake (`opening`) or later."""
    if isinstance(error, HandshakeError):
        return "hung up" if error.reason == "closed" else error.reason
    if opening:
        return "not-a-peer"
    return "parse" if isinstance(error, SexpError) else "protocol"


def of_loss(error: Exception | None) -> str:
    """The word for a connection that the carrier lost."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError) or error is None:
        return "reset"
    return "timeout" if isinstance(error, TimeoutError) else "unreachable"


def detail_of(error: Exception | None) -> str:
    """What the operating system says about it."""
    return f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""


def unreachable(reason: str, ip: str, port: int, network: str, seconds: float, detail: str = "") -> PeerUnreachable:
    """The error for an address that cannot be reached; `reason` is any word that ends a link which is being opened."""
    reason = _OF_A_DIAL.get(reason, reason)
    address = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    text = _UNREACHABLE[reason].format(address=address, network=network, seconds=seconds, detail=detail)
    return PeerUnreachable(text, reason)


def not_listening(error: OSError, ip: str, ports: list[int]) -> OSError:
    """The error for ports that cannot be opened."""
    which = f"port {ports[0]}" if len(ports) == 1 else f"every port from {ports[0]} to {ports[-1]}"
    text = _LISTENING.get(error.errno or 0)
    return OSError(error.errno, text.format(which=which, ip=ip) if text else f"{which} on {ip} cannot be opened: {error.strerror}")
