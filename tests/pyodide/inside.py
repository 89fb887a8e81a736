"""The core on the memory network inside Pyodide: one thread, no sockets, none of the compiled packages.

Run by test_pyodide.py. What Pyodide keeps outside of its npm package (PyNaCl, numpy, pandas and what draws widgets) is stood in
for by classes that can be imported and subclassed, and that note each use. The two functions of the codec that work on numpy arrays
have plain counterparts here. So what passes here needs nothing of those; encryption and tables, which do, are not tried.
"""

import importlib.abc
import importlib.machinery
import sys
import threading
import time
import types

sys.path.insert(0, "/repo")
OUTSIDE = {"nacl", "numpy", "pandas", "IPython", "ipywidgets", "anywidget", "traitlets", "nest_asyncio"}
NODES = 16
used = []


class Absent(type):
    """A class that stands for anything of a package that is not there."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{cls.__name__}.{name}", (), {})

    def __call__(cls, *args, **kwargs):
        used.append(cls.__name__)
        return cls

    def __lt__(cls, other):
        return False

    def __or__(cls, other):
        return cls


class Loader(importlib.abc.Loader):
    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: getattr(Absent(spec.name, (), {}), name)
        return module

    def exec_module(self, module):
        pass


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, Loader(), is_package=True) if name.partition(".")[0] in OUTSIDE else None


def plain_codec():
    """`p2pnb.wire.bytevector` for small canonical bytevectors, without arrays."""
    module = types.ModuleType("p2pnb.wire.bytevector")
    module.write_bytevector = lambda octets: b"#u8(" + b" ".join(b"%d" % octet for octet in octets) + b")"
    module.read_bytevector = lambda data, start, end, allowed: (bytes(map(int, data[start:end].split())), 0)
    return module


for package in sorted(OUTSIDE):
    try:
        __import__(package)
    except ModuleNotFoundError as error:
        print("absent:", error.name)
sys.meta_path.append(Finder())
sys.modules["p2pnb.wire.bytevector"] = plain_codec()

from p2pnb import Cluster, Identity, key_of  # noqa: E402
from p2pnb.errors import NotFound  # noqa: E402

used.clear()


async def main():
    identities = [Identity(types.SimpleNamespace(uid=key_of(b"%d" % i).int)) for i in range(NODES)]  # a uid needs no key pair here
    started = time.monotonic()
    async with Cluster.launch(NODES, network="memory", encryption=False, seed=1, k=3, identities=identities) as cluster:
        key = await cluster[3].set(b"hello")
        assert await cluster[9].ref(key) == b"hello"
        assert len(cluster.holders(key)) == 5
        topic = key_of(b"cats")
        for node in cluster[:3]:
            await node.bag_publish(topic, key)
        popular = await cluster[9].bag_popular(topic)
        assert popular == [key]
        assert popular.entries[0].publishers == 3
        lookup = await cluster[5].lookup(key)
        assert lookup.nearest
        assert "</svg>" in lookup.picture()
        cluster.kill(*cluster.holders(key)[:2])
        assert await cluster.random().ref(key) == b"hello"
        try:
            await cluster.random().ref(key_of(b"nobody has set this"))
        except NotFound:
            print("not found, as expected")
    assert cluster.errors == [], cluster.errors
    async with Cluster.launch(NODES, network="virtual", seed=1, k=3, identities=identities) as simulated:
        key = await simulated[3].set(b"hello")
        before = simulated.now
        assert before + 3599 < await simulated.advance(3600) < before + 3601
        assert await simulated[9].ref(key) == b"hello"
        print("an hour in simulated time, trace", simulated.trace_hash)
    assert simulated.errors == [], simulated.errors
    assert threading.active_count() == 1
    assert used == [], used
    print(f"a cluster of {NODES} on {sys.platform}, {time.monotonic() - started:.1f} s")


await main()  # noqa: F704, PLE1142 (Pyodide runs a file as a cell)
