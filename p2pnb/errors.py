"""What can go wrong, one class a kind.

Mistakes in the arguments of a call are ordinary `TypeError` and `ValueError`. Everything that the network, a store or a
cluster can answer is a `P2PError`. Bytes that came from another machine raise `RemoteProtocolError` only, and only at
the one place where a link receives them: nothing a stranger sends can look like a mistake of ours.
"""

from p2pnb import brief


class P2PError(Exception):
    """Base of every error of p2pnb. A notebook shows it in two lines; `%tb` has the rest. `hint`: what to do about it."""

    hint: str = ""

    def _render_traceback_(self) -> list[str]:
        return brief.rendered()


class ProtocolError(P2PError):
    """A message, frame, record or handshake that the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """We were about to break the protocol ourselves; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The other end broke the protocol; its connection is closed without a reply."""


class RequestTimeout(P2PError, TimeoutError):
    """No reply within the time allowed (the draft: "must wait for a reply at most 5 seconds")."""

    hint = "it is slow, or dead: ask again, or another one"


class PeerUnreachable(P2PError, ConnectionError):
    """No link to the peer can be had. `reason` is a short machine-readable word.

    One of `"refused"`, `"timeout"`, `"not-a-peer"`, `"other-network"`, `"wrong-uid"`, `"lost"`, `"closed"`, `"self"`, `"unreachable"`.
    """

    def __init__(self, message: str, reason: str = "unreachable") -> None:
        super().__init__(message)
        self.reason = reason


class NotFound(P2PError, LookupError):
    """No peer that could be reached had a valid record under the key."""

    hint = "cluster.where(key) shows who has it, and who should"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class StoreFull(P2PError):
    """No replica took the record: each is full, over quota, or knows of 20 nearer peers."""


class StoreError(P2PError):
    """A store on disk cannot be opened: it is in use, another node's, or written by a newer version. Nothing was changed."""


class ValueTooLarge(P2PError, ValueError):
    """The value does not fit into one message; the text gives the exact limit."""


class BadSignature(P2PError):
    """An Ed25519 signature does not hold for the public key, key, sequence and value it came with."""


class PolicyError(P2PError):
    """A policy (`Cluster.launch(…, policies={…})`) gave back what its interface does not allow, or never came to an end."""

    hint = "help(p2pnb.dht.policies) says what each policy gets and gives back"


class ClusterClosed(P2PError):
    """The cluster was closed; launch another one."""


class NodeDown(P2PError):
    """The node was killed; restart it with `await cluster.restart(node)`."""


class StaleSequence(P2PError):
    """A namespace entry with this sequence number, or a higher one, exists already; nothing was replaced."""
