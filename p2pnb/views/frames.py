"""Tables: plain rows in, a DataFrame with fixed columns and dtypes out.

Each frame is one entry of `SCHEMAS`: its columns in order, and for each the dtype and the key of the row that it is read
from. Rows are dicts in the units of the code (seconds, bytes, uids and keys as numbers, nodes as positions); columns
carry their unit in the name (`rtt_ms`, `age_s`). An empty frame has the columns and dtypes of a full one. Uids are
abbreviated where a frame is displayed, and whole in its data, so that a CSV loses nothing. (Keys, values and public keys may
also come as 32 bytes.)

Nothing here asks a node, a clock or the network for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from p2pnb import spec
from p2pnb.brief import Done
from p2pnb.uid import common_prefix_length, short
from p2pnb.views import svg

Row = Mapping[str, Any]

VERBS = (
    "iam", "peers", "set", "ref", "bag-add", "bag-popular", "bag-recent", "bag-sample", "namespace-set", "namespace-ref",
)  # fmt: skip


class Frame(pd.DataFrame, Done):
    """A DataFrame whose display abbreviates 64-digit uids and rounds to 3 decimals; `frame["uid"]`, `to_csv()` and the rest are whole."""

    @property
    def _constructor(self) -> type[Frame]:
        return Frame

    def __repr__(self) -> str:
        return repr(self._abbreviated())

    def _repr_html_(self) -> str | None:
        html: str | None = self._abbreviated()._repr_html_()  # type: ignore[operator]
        if html and svg.look().scale > 1:
            html = html.replace('class="dataframe"', f'class="dataframe" style="font-size:{svg.look().px(12)}"')
        return html and html.replace("…", "…&NoBreak;")  # a line may otherwise break after an ellipsis

    def _abbreviated(self) -> pd.DataFrame:
        frame = pd.DataFrame(self).round(3)
        for column in HEX_COLUMNS.intersection(frame.columns):
            frame[column] = [_abbreviate(value) for value in frame[column]]
        return frame


HEX_COLUMNS = frozenset({"uid", "key", "value", "public_key", "target", "told_by", "signature"})


def _abbreviate(value: Any) -> Any:
    return f"{value[:8]}…{value[-4:]}" if isinstance(value, str) and len(value) in {64, 128} else value


# --- columns ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, dtype, the key of the row that it is read from, and what makes the one of the other."""

    name: str
    dtype: str
    source: str
    convert: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """A frame: its index and its columns, in order. An index with source "" counts the rows."""

    index: Column
    columns: tuple[Column, ...]


def full_hex(uid: int | bytes | None) -> str | None:
    """The 64 hex digits of a uid, key or value: a number or 32 bytes; the 128 of a signature."""
    return uid.hex() if isinstance(uid, bytes) else None if uid is None else f"{uid:064x}"


def abbreviated(uid: int | bytes | None) -> str | None:
    """The first eight hex digits of a uid, key or value, and an ellipsis."""
    return None if uid is None else short(uid)


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000.0 * seconds


def position(node: int | None) -> int | None:
    """A position in the cluster; None for a peer that is no node of it (rows may say -1)."""
    return None if node is None or node < 0 else node


TEXT, FLAG, COUNT, NUMBER, MAYBE = "string", "bool", "int64", "float64", "Int64"
_NODE = Column("node", COUNT, "node")
_ID, _UID = Column("id", TEXT, "uid", abbreviated), Column("uid", TEXT, "uid", full_hex)
_IP, _PORT = Column("ip", TEXT, "ip"), Column("port", "int32", "port")
_PEER = Column("peer", MAYBE, "peer", position)
_AGE = Column("age_s", NUMBER, "age_s")
_BYTES = (Column("bytes_out", COUNT, "bytes_out"), Column("bytes_in", COUNT, "bytes_in"))


def _counts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, COUNT, name) for name in names)


SCHEMAS: dict[str, Schema] = {
    "nodes": Schema(_NODE, (
        _ID, Column("alive", FLAG, "alive"), _IP, _PORT,
        *_counts("contacts", "links", "values", "bags", "namespaces", "stored_bytes", "requests_in", "requests_out", "errors"),
        _UID,
    )),
    "routing": Schema(_NODE, (
        Column("bucket", "int16", "bucket"), _ID, _PEER, _IP, _PORT, _AGE,
        Column("rtt_ms", NUMBER, "rtt_ms"), Column("failures", "int32", "failures"), Column("dialled", FLAG, "dialled"),
        Column("cached", FLAG, "cached"), _UID,
    )),
    "values": Schema(_NODE, (
        Column("id", TEXT, "key", abbreviated), Column("size_bytes", COUNT, "size"), _AGE, Column("expires_s", NUMBER, "expires_s"),
        Column("key", TEXT, "key", full_hex),
    )),
    "bag": Schema(Column("rank", COUNT, ""), (
        Column("id", TEXT, "value", abbreviated), Column("publishers", COUNT, "publishers"), _AGE,
        Column("holders", COUNT, "holders"), Column("agreement", NUMBER, "agreement"), Column("value", TEXT, "value", full_hex),
    )),
    "namespaces": Schema(_NODE, (
        Column("author", TEXT, "public_key", abbreviated), Column("id", TEXT, "key", abbreviated),
        Column("sequence", COUNT, "sequence"), Column("value_id", TEXT, "value", abbreviated), _AGE,
        Column("signature", TEXT, "signature", full_hex), Column("public_key", TEXT, "public_key", full_hex),
        Column("key", TEXT, "key", full_hex), Column("value", TEXT, "value", full_hex),
    )),
    "traffic": Schema(Column("verb", TEXT, "verb"), (
        *_counts("count", "failed"), *_BYTES, Column("p50_ms", NUMBER, "p50", milliseconds), Column("p95_ms", NUMBER, "p95", milliseconds),
    )),
    "dealings": Schema(_NODE, (
        _PEER, _ID, _IP, *_counts("links", "requests_in", "requests_out"), *reversed(_BYTES), *_counts("refused", "closed"),
        Column("reasons", TEXT, "reasons"), Column("stored_bytes", COUNT, "stored"), Column("quota_bytes", COUNT, "quota"), _UID,
    )),
    "events": Schema(Column("event", COUNT, ""), (
        Column("time_s", NUMBER, "time"), Column("node", MAYBE, "node", position), _PEER, Column("verb", TEXT, "verb"),
        Column("outcome", TEXT, "outcome"), *_BYTES, Column("rtt_ms", NUMBER, "rtt", milliseconds),
        Column("cause", TEXT, "cause"),
    )),
    "lookup": Schema(Column("step", COUNT, ""), (
        Column("time_ms", NUMBER, "time", milliseconds), Column("event", TEXT, "event"), _PEER, _ID,
        Column("shared_bits", MAYBE, "shared_bits"), Column("hop", MAYBE, "hop"),
        Column("teller", MAYBE, "teller", position), Column("told_by", TEXT, "told_by", full_hex), _UID,
    )),
    "lookups": Schema(Column("lookup", COUNT, ""), (
        Column("time_s", NUMBER, "time"), Column("id", TEXT, "target", abbreviated), Column("verb", TEXT, "verb"),
        *_counts("hops", "rpcs", "dials", "failed"), Column("duration_ms", NUMBER, "duration", milliseconds),
        Column("found", "boolean", "found"), Column("cause", TEXT, "cause"), Column("target", TEXT, "target", full_hex),
    )),
    "published": Schema(Column("record", COUNT, ""), (
        Column("kind", TEXT, "kind"), Column("id", TEXT, "key", abbreviated), Column("renewed_s", NUMBER, "renewed_s"),
        Column("replicas", MAYBE, "replicas"), Column("trouble", TEXT, "trouble"), Column("key", TEXT, "key", full_hex),
    )),
    "faults": Schema(Column("event", COUNT, ""), (
        Column("time_s", NUMBER, "time"), Column("fault", TEXT, "fault"), Column("what", TEXT, "what"),
        Column("node", MAYBE, "node", position), _PEER,
    )),
    "where": Schema(_NODE, (
        _ID, Column("rank", COUNT, "rank"), Column("shared_bits", COUNT, "shared_bits"), Column("holds", FLAG, "holds"),
        Column("should_hold", FLAG, "should_hold"), Column("may_hold", FLAG, "may_hold"), Column("kind", TEXT, "kind"), _AGE, _UID,
    )),
}  # fmt: skip


def _frame(name: str, rows: Iterable[Row]) -> Frame:
    schema, rows = SCHEMAS[name], list(rows)
    if schema.index.source:
        index = pd.Index(_series(schema.index, rows), name=schema.index.name)
    else:
        index = pd.RangeIndex(len(rows), name=schema.index.name)
    frame = pd.DataFrame({column.name: _series(column, rows).array for column in schema.columns}, index=index)
    return Frame(frame)


def _series(column: Column, rows: Sequence[Row]) -> pd.Series[Any]:
    cells = [row[column.source] for row in rows]
    if column.convert is not None:
        cells = [column.convert(cell) for cell in cells]
    return pd.Series(cells, dtype=column.dtype)


# --- frames -----------------------------------------------------------------------------------------------------------


def nodes(rows: Iterable[Row]) -> Frame:
    """One row a node, dead ones too. Rows: `node uid alive ip port` and the counts of `SCHEMAS["nodes"]`."""
    return _frame("nodes", rows)


def routing(rows: Iterable[Row]) -> Frame:
    """One row a contact in a table or replacement cache, by bucket (shared prefix in bits).

    Rows: `node bucket uid peer ip port age_s rtt_ms failures dialled cached`; `peer` is the contact's position where it is
    a node of this cluster, else None or -1; `age_s` and `rtt_ms` are None or NaN where not known.
    """
    return _frame("routing", sorted(rows, key=lambda row: (row["node"], row["bucket"], row["cached"])))


def published(rows: Iterable[Row]) -> Frame:
    """One row a record that a node published. Rows: `kind key renewed_s replicas trouble`; what is not known yet is None."""
    return _frame("published", rows)


def values(rows: Iterable[Row]) -> Frame:
    """One row a stored copy of a value. Rows: `node key size age_s expires_s`."""
    return _frame("values", rows)


def bag(rows: Iterable[Row]) -> Frame:
    """One row a value of one bag, most publishers first.

    Rows: one for each node and value that it lists: `node value publishers age_s`; `publishers` are the uids that the
    node counts. The frame counts each publisher once (`publishers`), the nodes that list the value (`holders`), and
    says what share of the nodes that hold the bag that is (`agreement`, 0 to 1); `age_s` is the youngest copy's.
    """
    copies: dict[int, list[Row]] = {}
    everyone: set[int] = set()
    for row in rows:
        copies.setdefault(row["value"], []).append(row)
        everyone.add(row["node"])
    merged = [
        {
            "value": value,
            "publishers": len({publisher for row in rows_of for publisher in row["publishers"]}),
            "age_s": min(row["age_s"] for row in rows_of),
            "holders": len({row["node"] for row in rows_of}),
            "agreement": len({row["node"] for row in rows_of}) / len(everyone),
        }
        for value, rows_of in copies.items()
    ]
    return _frame("bag", sorted(merged, key=lambda row: (-row["publishers"], -row["holders"], row["age_s"], row["value"])))


def namespaces(rows: Iterable[Row]) -> Frame:
    """One row a stored version of a signed entry. Rows: `node public_key key sequence value signature age_s`; the signature is 64 bytes."""
    return _frame("namespaces", rows)


def traffic(rows: Iterable[Row], verbs: Sequence[str] = VERBS) -> Frame:
    """One row a verb, those without a request too: how many requests, how many without a reply, bytes, median and 95th percentile.

    Rows are those of `events`; a request without an `rtt` failed, and has no part in the percentiles.
    """
    asked: dict[str, list[Row]] = {verb: [] for verb in verbs}
    for row in rows:
        asked.setdefault(row["verb"], []).append(row)
    return _frame("traffic", [_summary(verb, events_of) for verb, events_of in asked.items()])


def dealings(rows: Iterable[Row]) -> Frame:
    """One row a node and peer, whoever sent most first. Rows: `node peer uid ip links requests_in requests_out bytes_in bytes_out
    refused closed reasons stored quota`; `uid` is None for an address that proved none, `ip` "" for many peers together."""
    return _frame("dealings", sorted(rows, key=lambda row: (row["node"], -row["bytes_in"])))


def _summary(verb: str, rows: list[Row]) -> Row:
    times = [row["rtt"] for row in rows if row["rtt"] is not None]
    p50, p95 = (float(p) for p in np.percentile(times, [50, 95])) if times else (None, None)
    return {
        "verb": verb, "count": len(rows), "failed": len(rows) - len(times),
        "bytes_out": sum(row["bytes_out"] for row in rows), "bytes_in": sum(row["bytes_in"] for row in rows),
        "p50": p50, "p95": p95,
    }  # fmt: skip


def events(rows: Iterable[Row]) -> Frame:
    """One row a request, in the order of asking.

    Rows: `time node peer verb outcome bytes_out bytes_in rtt cause`; `time` and `rtt` in seconds, `rtt` None where no
    reply came, `node` and `peer` positions (None or -1 for a stranger), `cause` the call that it served or "upkeep".
    """
    return _frame("events", sorted(rows, key=lambda row: row["time"]))


def lookup(rows: Iterable[Row], target: int) -> Frame:
    """One row a step of a lookup of `target`, in order; times count from the first step.

    Rows: `time event uid peer hop told_by`: seconds on any clock, one word, the contact's uid and position, how many
    steps away it was (1: known from the start), and the uid of who named it; each of the last four may be None. `teller` is the
    position of who named it, as far as the rows tell.
    """
    steps = sorted(rows, key=lambda row: row["time"])
    start = steps[0]["time"] if steps else 0.0
    peers = {row["uid"]: row["peer"] for row in steps if row["uid"] is not None}
    return _frame("lookup", [
        {
            **row, "time": row["time"] - start, "teller": peers.get(row["told_by"]),
            "shared_bits": None if row["uid"] is None else common_prefix_length(row["uid"], target),
        }
        for row in steps
    ])  # fmt: skip


def lookups(rows: Iterable[Row]) -> Frame:
    """One row a lookup that one node has finished, oldest first.

    Rows: `time target verb hops rpcs dials failed duration found cause`; `time` in seconds since the launch, `duration` in seconds,
    `found` None where no record was looked for.
    """
    return _frame("lookups", rows)


def where(rows: Iterable[Row], key: int, replication: int = spec.REPLICATION) -> Frame:
    """Who holds the record at `key`, and who should: the 20 nearest, and whoever else has it, nearest first.

    Rows: one for each living node and each kind of record that it has at the key, `node uid kind age_s`; `kind` None and `age_s` None
    for one that has nothing. `rank` counts the living nodes nearer to the key; those ranked below `replication` should hold the
    record, and those below 20 may accept it.
    """
    rows = list(rows)
    ranks = {node: rank for rank, (_, node) in enumerate(sorted({(row["uid"] ^ key, row["node"]) for row in rows}))}
    placed = [
        {
            **row,
            "rank": ranks[row["node"]],
            "shared_bits": common_prefix_length(row["uid"], key),
            "holds": row["kind"] is not None,
            "should_hold": ranks[row["node"]] < replication,
            "may_hold": ranks[row["node"]] < spec.ACCEPTORS,
        }
        for row in rows
    ]
    return _frame("where", sorted((row for row in placed if row["holds"] or row["may_hold"]), key=lambda row: row["rank"]))


def faults(rows: Iterable[Row]) -> Frame:
    """One row a happening of a fault, in order of time. Rows: `time fault what node peer`.

    `what`: "begins", "ends", "crashes", "comes back" or "resets"; `node` whom it befell (None: everybody), `peer` the other
    end of a connection that was reset.
    """
    return _frame("faults", rows)
