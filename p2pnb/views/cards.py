"""Cards: what a cell that ends with a cluster, a node or a result shows, as HTML and as plain text.

A card is a heading, a few badges, facts, a note, and perhaps a picture; HTML and text are made of the same facts. Much
of it came from other machines, so every text goes through `svg.safe`. JupyterLab shows a picture inline, where it takes
the theme's colours. From a notebook that is not trusted it removes inline SVG (and leaves its words) and style sheets:
there an `<img>` of the same picture, which the style sheet hides, takes the place of the inline one, which only the
style sheet shows.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from p2pnb.uid import Key, short
from p2pnb.views import pictures, svg
from p2pnb.views.svg import FONT, MONO, ago, duration, printable, safe, theme
from p2pnb.words import counted, shortened

Summary = Mapping[str, Any]
Facts = list[tuple[str, str]]

LARGEST_STILL = 120_000  # characters of SVG that a card carries twice
MOST_ENTRIES = 20  # values of a bag that a card lists


class Card(NamedTuple):
    """One thing, shown twice: an HTML fragment and plain text."""

    html: str
    text: str


def mimebundle(html: str, text: str, svg: str | None = None) -> dict[str, str]:
    """What `_repr_mimebundle_` returns."""
    return {"text/plain": text, "text/html": html} | ({} if svg is None else {"image/svg+xml": svg})


# --- the card ---------------------------------------------------------------------------------------------------------


def _style() -> str:
    """The style sheet of a card, as large as things are drawn at present."""
    px = svg.look().px
    return (
        f"{theme('.p2p-card')}.p2p-card{{max-width:992px;box-sizing:border-box;margin:2px 0;padding:10px 14px;font:{px(13)}/1.4 {FONT};"
        "border:1px solid var(--p2p-faint);border-radius:6px;background:var(--p2p-paper);color:var(--p2p-ink)}"
        ".p2p-card .p2p-head{display:flex;flex-wrap:wrap;align-items:baseline;gap:4px 10px}"
        f".p2p-card .p2p-head b{{font-size:{px(15)};font-weight:600}}"
        f".p2p-card .p2p-badge{{padding:0 8px;border:1px solid var(--p2p-line);border-radius:9px;font-size:{px(12)};color:var(--p2p-soft)}}"
        ".p2p-card dl{display:flex;flex-wrap:wrap;gap:6px 26px;margin:8px 0 2px;padding:0}"
        ".p2p-card dl div{display:block}.p2p-card dl dt,.p2p-card dl dd{display:block;float:none;width:auto;margin:0;padding:0}"
        f".p2p-card dl dt{{font-size:{px(11)};font-weight:400;color:var(--p2p-soft)}}.p2p-card dl dd{{font-variant-numeric:tabular-nums}}"
        f".p2p-card dl .p2p-mono{{font-family:{MONO};font-size:{px(12)};overflow-wrap:anywhere}}"
        ".p2p-card .p2p-note{margin:8px 0 2px;color:var(--p2p-soft)}.p2p-card svg{display:block;margin-top:8px}"
        ".p2p-card .p2p-inline{display:block!important}.p2p-card .p2p-still{display:none}"
    )


_CODE = re.compile("`([^`]+)`")
_HEX = re.compile("[0-9a-f]{64}")


def _card(title: str, badges: Iterable[str], facts: Facts, *, note: str = "", picture: str = "") -> Card:
    shown = [badge for badge in badges if badge]
    head = f"<b>{safe(title)}</b>" + "".join(f' <span class="p2p-badge">{safe(badge)}</span>' for badge in shown)
    body = "".join(f"<div><dt>{safe(name)}</dt><dd{_mono(value)}>{safe(value)}</dd></div>" for name, value in facts)
    said = _CODE.sub(r"<code>\1</code>", safe(note))
    html = (
        f'<div class="p2p-card"><style>{_style()}</style><div class="p2p-head">{head}</div>'
        + (f"<dl>{body}</dl>" if facts else "")
        + (f'<div class="p2p-note">{said}</div>' if note else "")
        + (f'<div class="p2p-inline" hidden="hidden" style="display:none">{picture}</div>{_still(picture, title)}' if picture else "")
        + "</div>"
    )
    brief = [f"{name} {value}" for name, value in facts if len(value) < 40]
    long = [f"{name} {value}" for name, value in facts if len(value) >= 40]
    lines = [" · ".join([title, *shown]), " · ".join(brief), *long, note]
    return Card(html, "\n  ".join(printable(line) for line in lines if line))


def _still(picture: str, title: str) -> str:
    if len(picture) > LARGEST_STILL:
        return ""
    data = base64.b64encode(picture.encode()).decode()
    return f'<img class="p2p-still" alt="{safe(title)}" src="data:image/svg+xml;base64,{data}">'


def _mono(value: str) -> str:
    """Uids and keys are set in a monospaced face."""
    return ' class="p2p-mono"' if "…" in value or _HEX.fullmatch(value) else ""


# --- facts ------------------------------------------------------------------------------------------------------------

Fact = tuple[str, str, Callable[[Any], str]]


def _facts(summary: Summary, wanted: Sequence[Fact]) -> Facts:
    """Those of the wanted facts (label, key, format) that the summary has."""
    return [(label, form(summary[key])) for label, key, form in wanted if summary.get(key) is not None]


def count(value: int) -> str:
    return f"{value:,}"


def size(octets: int) -> str:
    """A number of bytes in the largest unit that fits: "100 B", "250 kB", "1.2 MB"."""
    for step, unit in ((1_000_000, "MB"), (1_000, "kB")):
        if octets >= step:
            return f"{octets / step:.3g} {unit}"
    return f"{octets} B"


def _hex(value: bytes | int) -> str:
    return str(Key.from_int(value)) if isinstance(value, int) else value.hex()


_CLUSTER: tuple[Fact, ...] = (
    ("k", "k", str), ("replication", "replication", str), ("alpha", "alpha", str), ("seed", "seed", str), ("store", "store", str),
    ("values", "values", count), ("bags", "bags", count), ("namespaces", "namespaces", count),
    ("requests", "requests", count), ("failed", "failed", count), ("up", "uptime_s", duration),
)  # fmt: skip


def cluster_card(summary: Summary, picture: str = "") -> Card:
    """A cluster. Needs `network nodes alive`; shows, where given, `host name` and the keys of `_CLUSTER`.

    `complete=True` adds that every node knows every other; `closed=True` that it is over. `picture` is its trie.
    """
    nodes, alive = summary["nodes"], summary["alive"]
    where = f"{summary['network']} on {summary['host']}" if summary.get("host") else str(summary["network"])
    badges = [counted(nodes, "node"), f"{count(nodes - alive)} dead" if alive < nodes else "all alive", where]
    badges += [f"network “{summary['name']}”"] if summary.get("name") else []
    note = ""
    if summary.get("closed"):
        badges, note = [*badges[:1], "closed"], "Nothing of it is left running: launch another with `await Cluster.launch(20)`."
    elif summary.get("complete"):
        note = "Every node knows every other here, so a lookup has nothing to do: `launch(64, k=3)` gives it work."
    return _card("Cluster", badges, _facts(summary, _CLUSTER), note=note, picture=picture)


_NODE: tuple[Fact, ...] = (
    ("contacts", "contacts", count), ("links", "links", count), ("values", "values", count), ("bags", "bags", count),
    ("namespaces", "namespaces", count), ("stored", "stored_bytes", size), ("requests in", "requests_in", count),
    ("requests out", "requests_out", count), ("errors", "errors", count), ("uid", "uid", _hex),
)  # fmt: skip


def node_card(summary: Summary, picture: str = "") -> Card:
    """A node: a row of `frames.nodes`. `picture` is its routing table."""
    alive = summary["alive"]
    note = "" if alive else "It was killed: bring it back with `await cluster.restart(node)`."
    badges = [short(summary["uid"]), "alive" if alive else "dead", f"{summary['ip']}:{summary['port']}"]
    return _card(f"Node #{summary['node']}", badges, _facts(summary, _NODE), note=note, picture=picture)


def lookup_card(summary: Summary, picture: str = "") -> Card:
    """A lookup. Needs `target nearest`; shows, where given, `node hops rpcs failed duration_s found`.

    `nearest` holds (position or None, uid, shared bits) for each of the nearest that answered, nearest first.
    """
    badges = [short(summary["target"]), f"from #{summary['node']}" if summary.get("node") is not None else ""]
    badges.append("" if summary.get("found") is None else "found" if summary["found"] else "not found")
    wanted: tuple[Fact, ...] = (
        ("hops", "hops", str), ("requests", "rpcs", count), ("failed", "failed", count), ("took", "duration_s", duration),
    )  # fmt: skip
    named = [f"{short(uid) if node is None else f'#{node}'} ({counted(bits, 'bit')})" for node, uid, bits in summary["nearest"]]
    facts = [*_facts(summary, wanted), ("nearest that answered", shortened(named, 8) or "none"), ("target", _hex(summary["target"]))]
    return _card("Lookup", badges, facts, picture=picture)


def bag_card(summary: Summary, picture: str | None = None) -> Card:
    """The values of a bag. Needs `kind` ("popular", "recent" or "sample") and `entries`; shows `key` where given.

    `entries` are the rows of `pictures.bag`: `value publishers age listed_by of`. Text has a line for each of the first twenty.
    """
    entries = list(summary["entries"])
    badges = [summary["kind"], counted(len(entries), "value")]
    facts: Facts = _facts(summary, (("key", "key", _hex),))
    drawn = pictures.bag(entries[:MOST_ENTRIES]) if picture is None else picture
    more = f"{len(entries) - MOST_ENTRIES} more values are not shown." if len(entries) > MOST_ENTRIES else ""
    card = _card("Bag", badges, facts, note=more, picture=drawn)
    lines = [
        f"  {short(row['value'])}  {counted(row['publishers'], 'publisher')}, "
        f"listed by {row['listed_by']} of {row['of']}, newest vote {ago(row['age'])}"
        for row in entries[:MOST_ENTRIES]
    ]
    return Card(card.html, "\n".join([card.text, *lines]))


def namespace_card(summary: Summary) -> Card:
    """A namespace. Needs `public_key`; shows, where given, `node` and `writable` (whether its private key is at hand)."""
    writable = summary.get("writable")
    badges = [short(summary["public_key"]), "" if writable is None else "may write" if writable else "read only"]
    badges.append(f"at #{summary['node']}" if summary.get("node") is not None else "")
    return _card("Namespace", badges, [("public key", _hex(summary["public_key"]))])


def nodes_card(summary: Summary, picture: str = "") -> Card:
    """Some nodes. Needs `nodes`: (position, whether alive) for each, and `meaning`: what they are, alive and dead.

    Shows `key`, where given. `picture` is the trie with these nodes marked.
    """
    nodes = summary["nodes"]
    facts: Facts = []
    for meaning, living in zip(summary["meaning"], (True, False), strict=True):
        named = [f"#{position}" for position, alive in nodes if alive is living]
        facts += [(meaning, shortened(named, MOST_ENTRIES))] if named else []
    facts += _facts(summary, (("key", "key", _hex),))
    return _card(counted(len(nodes), "node"), [], facts, picture=picture)


def still_card(title: str, picture: str) -> Card:
    """What a live widget leaves behind in a notebook: its picture, as of when it was displayed or closed."""
    return _card(title, ["still"], [], note="" if picture else "It was live: run the cell again.", picture=picture)


def watch_card(summary: Summary, picture: str = "") -> Card:
    """Messages. Needs `verbs`, a count of requests for each; shows, where given, `calls failed bytes_out bytes_in`.

    `listed` says how many of them the table that follows has at most.
    """
    verbs: Mapping[str, int] = summary["verbs"]
    total = sum(verbs.values())
    badges = [counted(total, "request"), *[f"{count(n)} {verb}" for verb, n in verbs.items()]]
    note = f"The first {summary['listed']} are listed: `watch.events()` has all." if total > summary.get("listed", total) else ""
    return _card("Watch", badges, _facts(summary, (
        ("calls", "calls", count), ("failed", "failed", count), ("sent", "bytes_out", size), ("received", "bytes_in", size),
    )), note=note, picture=picture)  # fmt: skip


def faults_card(summary: Summary) -> Card:
    """Faults. Needs `faults`, (how it is written, whether it is mended) for each, and `happened`, a count for each happening."""
    on = [written for written, over in summary["faults"] if not over]
    mended = [written for written, over in summary["faults"] if over]
    facts = [(what, count(n)) for what, n in summary["happened"].items()]
    facts += [("on", written) for written in on] + [("mended", written) for written in mended]
    note = "" if on else "Nothing is wrong at the moment." if not mended else "All of it is mended."
    return _card(counted(len(on), "fault"), [], facts, note=note)


def check_card(summary: Summary, picture: str = "") -> Card:
    """A check. Needs `policy score most`; `lost` is the name of the case that the picture shows, if any."""
    badges = [f"{summary['score']} of {summary['most']} points", "all there" if summary["score"] == summary["most"] else ""]
    note = f"Lost first: {summary['lost']}" + (", as in the picture." if picture else ".") if summary.get("lost") else ""
    return _card(f"Check of {summary['policy']}", badges, [], note=note, picture=picture)


def call_card(summary: Summary) -> Card:
    """What became of a call. Needs `procedure`; shows, where given, the keys below.

    `node key stored refused failed spare wanted reason duration_s requests bytes_out bytes_in` and `facts`, a dict of any others.
    """
    wanted = summary.get("wanted")
    badges = [f"at #{summary['node']}" if summary.get("node") is not None else ""]
    badges.append(f"{summary.get('stored', 0)} of {wanted} replicas took it" if wanted else "")
    facts = _facts(summary, (
        ("refused", "refused", count), ("failed", "failed", count), ("farther away", "spare", count),
        ("took", "duration_s", duration), ("requests", "requests", count),
        ("sent", "bytes_out", size), ("received", "bytes_in", size), ("key", "key", _hex),
    ))  # fmt: skip
    facts += [(str(name), str(value)) for name, value in (summary.get("facts") or {}).items()]
    return _card(str(summary["procedure"]), badges, facts, note=summary.get("reason") or "")
