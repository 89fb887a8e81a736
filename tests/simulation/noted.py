"""What checks after every event stand on: a loop that tells when something has happened, and containers that tell what it changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from p2pnb.dht.bucket import Buckets, Row
from p2pnb.dht.quota import Quota
from p2pnb.net.virtual import VirtualLoop

K = TypeVar("K")
V = TypeVar("V")

_ABSENT = object()


class WatchedLoop(VirtualLoop):
    """Calls `after(event)` after every callback that it ran: a delivery, a timer, one step of a task."""

    after: Callable[[Any], None] | None = None

    def _run_next(self) -> None:
        event = self._ready[0]
        super()._run_next()
        if self.after is not None:
            self.after(event)


class NotedDict(dict[K, V]):
    """A dict that says `set_(key, value)` and `gone(key)` for every change."""

    __slots__ = ("gone", "set_")

    def __init__(self, content: dict[K, V], set_: Callable[[K, V], None], gone: Callable[[K], None]) -> None:
        super().__init__(content)
        self.set_ = set_
        self.gone = gone

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.set_(key, value)

    def __delitem__(self, key: K) -> None:
        super().__delitem__(key)
        self.gone(key)

    def pop(self, key: K, default: Any = _ABSENT) -> Any:
        there = key in self
        found = super().pop(key) if default is _ABSENT else super().pop(key, default)
        if there:
            self.gone(key)
        return found

    def clear(self) -> None:
        for key in list(self):
            del self[key]


class NotedBuckets(Buckets):
    """Buckets that say `came(bucket, contact)` for each contact that enters one."""

    __slots__ = ("came",)

    def __init__(self, content: Buckets, came: Callable[[Buckets, int, Any], None]) -> None:
        super().__init__()
        for name in Buckets.__slots__:
            setattr(self, name, getattr(content, name))
        self.came = came

    def append(self, bucket: int, row: Row) -> None:
        super().append(bucket, row)
        self.came(self, bucket, row.contact)


class NotedQuota(Quota):
    """A quota that calls `changed()` whenever bytes were counted. Another one becomes it by its class."""

    changed: Callable[[], None]

    @property  # type: ignore[override]
    def used(self) -> int:
        return int(self.__dict__["used"])

    @used.setter
    def used(self, size: int) -> None:
        self.__dict__["used"] = size
        self.changed()
