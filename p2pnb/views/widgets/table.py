"""`node.table()`: one node's routing table, live: a row for each number of shared bits, with its k slots.

The state is made of the rows of `frames.routing` by `state`, a pure function; `table.js` draws it. A slot says who is in it and how
fresh that is, by shade (the darker, the more lately heard from) and by shape; the replacement cache waits to the right of
its row. A key, given or typed, marks the row into which it falls: the bucket from which a lookup of it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from p2pnb import spec
from p2pnb.uid import Key, as_key, common_prefix_length, key_of, short
from p2pnb.views import pictures
from p2pnb.views.pictures.routing import prefix_of, shown_buckets
from p2pnb.views.widgets.base import Live, News, Stage, script

Row = Mapping[str, Any]
Read = Callable[[], tuple[Row, list[dict[str, Any]]]]


def state(node: Row, contacts: Iterable[Row], k: int, key: Key | None = None) -> dict[str, Any]:
    """What is drawn: `node` is a row of `frames.nodes`, `contacts` those of `frames.routing` for it.

    `rows`: for each bucket its number, the bits that its contacts begin with (the last one is where they differ from the
    node), and its contacts and cached ones as lists `[peer, id, age_s, failures, rtt_ms, address]`; peer, age and rtt may be None.
    """
    own = node["uid"]
    buckets: dict[int, tuple[list[Any], list[Any]]] = {}
    for contact in contacts:
        live, cached = buckets.setdefault(contact["bucket"], ([], []))
        (cached if contact["cached"] else live).append(_slot(contact))
    wanted = None if key is None else common_prefix_length(own, key.int)
    rows: list[dict[str, Any]] = []
    for number in shown_buckets(buckets, wanted):
        live, cached = buckets.get(number, ([], []))
        rows.append({"bucket": number, "prefix": prefix_of(own, number)[-12:], "contacts": live, "cached": cached})
    return {
        "node": node["node"],
        "id": short(own),
        "alive": node["alive"],
        "k": k,
        "fresh_s": spec.LIVE_WITHIN,
        "rows": rows,
        "known": sum(len(row["contacts"]) for row in rows),
        "waiting": sum(len(row["cached"]) for row in rows),
        "key": None if key is None else short(key),
        "key_bucket": wanted,
    }


def _slot(contact: Row) -> list[Any]:
    return [
        contact["peer"],
        short(contact["uid"]),
        _number(contact["age_s"], 0),
        contact["failures"],
        _number(contact["rtt_ms"], 2),
        f"{contact['ip']}:{contact['port']}",
    ]


def _number(value: float | None, digits: int) -> float | None:
    """JSON has no NaN, which stands for "not known"."""
    return None if value is None or value != value else round(value, digits)  # noqa: PLR0124


def typed_key(text: str) -> Key | None:
    """A key as somebody types it: 64 hex digits, or a text, whose key is the SHA-256 of its UTF-8; None for nothing."""
    text = text.strip()
    if not text:
        return None
    try:
        return as_key(text)
    except ValueError:
        return key_of(text.encode())


class Table(Live):
    """The routing table of one node, live."""

    _esm = script("table")

    def __init__(self, read: Read, changed: Callable[[], Hashable], k: int, key: Key | None, stage: Stage) -> None:
        """`read` gives the node's row and its contacts, `changed` something that is another one after each request."""
        self._read, self._changed, self._k, self._key = read, changed, k, key
        super().__init__(f"Routing table of #{read()[0]['node']}", stage)

    def look(self) -> dict[str, Any]:
        return state(*self._read(), self._k, self._key)

    def version(self) -> Hashable:
        return self._changed()

    def heard(self, news: News) -> None:
        if not isinstance(news.get("key"), str):
            super().heard(news)
        self._key = typed_key(news["key"])

    def picture(self) -> str:
        node, contacts = self._read()
        return pictures.routing_table(contacts, self._k, own=node["uid"], key=None if self._key is None else self._key.int)
