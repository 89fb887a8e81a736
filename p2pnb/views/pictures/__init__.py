"""The pictures: plain data in, one self-contained SVG string out.

Views of a network: the trie of all uids, a lookup in time, a routing table, a bag, the messages of some calls, the replicas near
a key, a signed entry at its holders. Each says in marks what a frame says in numbers, and each is one function in a file of its
own; `svg` has the theme and the marks. Nothing here asks a node, a clock or chance for anything, so the same rows (and the same
`svg.look()`) always give the same bytes.
"""

from p2pnb.views.pictures.bag import bag
from p2pnb.views.pictures.lookup import lookup
from p2pnb.views.pictures.namespace import namespace
from p2pnb.views.pictures.replicas import replicas
from p2pnb.views.pictures.routing import routing_table
from p2pnb.views.pictures.sequence import sequence
from p2pnb.views.trie import trie

__all__ = ["bag", "lookup", "namespace", "replicas", "routing_table", "sequence", "trie"]
