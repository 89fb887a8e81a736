"""Live, encrypted Kademlia networks inside a notebook: `cluster = await Cluster.launch(20)`."""

from p2pnb.cluster.cluster import Cluster
from p2pnb.cluster.extension import load_ipython_extension as load_ipython_extension
from p2pnb.cluster.extension import unload_ipython_extension as unload_ipython_extension
from p2pnb.cluster.run import run
from p2pnb.peer.identity import Author, Identity
from p2pnb.peer.peer import Peer
from p2pnb.uid import Key, key_of

__version__ = "0.1.0"
__all__ = ["Author", "Cluster", "Identity", "Key", "Peer", "key_of", "run"]
