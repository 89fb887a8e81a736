"""The arguments of a launch, checked at once: what would only fail later, on another thread, is refused where it was written."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Collection
from numbers import Real
from pathlib import Path
from typing import Any

from p2pnb import spec
from p2pnb.brief import brief
from p2pnb.cluster.amounts import as_number, yes_or_no
from p2pnb.cluster.member import Settings
from p2pnb.dht.policies import Policies
from p2pnb.peer.identity import Identity

NETWORKS = ("tcp", "memory", "virtual")
VIRTUAL_LATENCY = 0.05  # seconds, one way: about that between two homes on one continent


def check_count(n: Any, who: str = "a cluster has") -> None:
    if isinstance(n, bool) or not isinstance(n, int):
        raise brief(TypeError(f"a number of nodes is an integer, not {n!r}"))
    if n < 1:
        raise brief(ValueError(f"{who} 1 node or more, not {n}"))


def as_ports(ports: Any) -> tuple[int, ...] | None:
    """The `ports` of a launch: any number of them, or None for any free ones."""
    if ports is None:
        return None
    if isinstance(ports, int):
        raise brief(TypeError(f"ports are several, one a node: ports=range({ports}, {ports + 20}), or ports=[{ports}] for one node"))
    found = tuple(ports)
    for port in found:
        if type(port) is not int or not 0 < port < 65_536:
            raise brief(ValueError(f"a port is an integer of 1 to 65535, not {port!r}"))
    return found


def as_addresses(addresses: Any) -> tuple[tuple[str, int], ...]:
    """The `bootstrap` of a launch: (ip, port) pairs."""
    what = 'bootstrap is a list of addresses, such as [("192.168.1.5", 9000)]'
    if not isinstance(addresses, Collection) or isinstance(addresses, str):
        raise brief(TypeError(f"{what}, not {addresses!r}"))
    found = tuple(addresses)
    for address in found:
        if not isinstance(address, (tuple, list)) or len(address) != 2:
            raise brief(TypeError(f"{what}, not {addresses!r}"))
    return tuple((ip, port) for ip, port in found)


def as_seed(seed: Any) -> int | None:
    """The `seed` of a launch: an integer, of numpy too, or None."""
    if seed is None:
        return None
    try:
        return operator.index(seed)
    except TypeError:
        raise brief(TypeError(f"a seed is an integer, such as seed=7, not {seed!r}")) from None


def as_loss(loss: Any) -> float:
    """The `loss` of a launch: a share."""
    share = as_number(loss)
    if share is None or not 0 <= share <= 1:
        raise brief(ValueError(f"loss is a share of 0 to 1, not {loss!r}"))
    return share


def as_identities(identities: Any) -> tuple[Identity, ...]:
    """The `identities` of a launch, of the first nodes."""
    found = tuple(identities) if isinstance(identities, (list, tuple)) else (identities,)
    for each in found:
        if not isinstance(each, Identity):
            raise brief(TypeError(f'identities are a list such as [Identity.load_or_create("me.key")], not of {type(each).__name__}'))
    return found


def as_policies(policies: Any) -> Policies | None:
    """The `policies` of a launch, checked; they are not active until somebody says so."""
    if policies is None:
        return None
    found = Policies.checked(policies)
    found.active = False
    return found


def as_store(path: Any) -> Path | None:
    """The `store` of a launch: a directory."""
    if path is None:
        return None
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise brief(TypeError(f'a store is a directory, such as store="my-network", not {path!r}'))
    if sys.platform == "emscripten":
        raise brief(ValueError("there is no disk in the browser: leave out store"))
    return Path(path)


def check(n: Any, network: Any, settings: Settings, seed: Any, latency: Any, loss: Any) -> None:
    """Raises at once for what would only fail later, on another thread."""
    check_count(n)
    if network not in NETWORKS:
        raise brief(ValueError(f'network is "tcp", "memory" or "virtual", not {network!r}'))
    for what, number, least, most in (
        ("replication", settings.replication, spec.MIN_REPLICATION, spec.MAX_REPLICATION),
        ("k", settings.k, spec.MIN_K, spec.K),
        ("alpha", settings.alpha, 1, spec.MAX_CONTACTS),
    ):
        if type(number) is not int or not least <= number <= most:
            raise brief(ValueError(f"{what} is an integer of {least} to {most}, not {number!r}"))
    if settings.ports is not None and len(settings.ports) < n:
        raise brief(ValueError(f"{n} nodes need {n} ports, and `ports` has {len(settings.ports)}: give a longer range, or leave it out"))
    if not isinstance(settings.name, str):
        raise brief(TypeError(f"the name of a network is text, not {settings.name!r}"))
    yes_or_no(settings, "encryption", "codec", "full_join")
    if seed is not None and not settings.host.startswith("127.") and settings.host != "::1":
        raise brief(ValueError("seed makes keys that anybody can compute, so it is for loopback only: leave out seed or host"))
    if network == "tcp" and (latency != 0.0 or loss != 0.0):
        raise brief(ValueError('latency and loss go with network="memory" or "virtual": real sockets have their own'))
    if network == "tcp" and not settings.encryption:
        raise brief(ValueError('sockets are always encrypted: encryption=False goes with network="memory" or "virtual"'))
    if not settings.codec and (network == "tcp" or settings.encryption):
        no_text = 'codec=False hands messages over unwritten: with network="virtual" or "memory", and encryption=False'
        raise brief(ValueError(no_text))


def check_seconds(seconds: Any, network: str) -> float:
    """How far to advance a cluster on `network`."""
    if network != "virtual":
        raise brief(ValueError(f'only network="virtual" can be advanced: on "{network}" time passes by itself, await asyncio.sleep(…)'))
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        raise brief(TypeError(f"advance takes a number of seconds, not {seconds!r}"))
    plain = as_number(seconds)
    if plain is None or plain < 0:
        raise brief(ValueError(f"time goes forward: advance takes 0 seconds or more, not {seconds!r}"))
    return float(plain)
