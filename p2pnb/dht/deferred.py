"""A result that may come later, without asyncio: what a store on a disk hands out until the disk has acknowledged.

Whoever waits registers one callback; whoever has the result resolves it once. In either order the callback runs exactly
once, at the moment when both are there. No threads, no errors inside: a failed write is the result False.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Deferred(Generic[T]):
    """A `T` that is known now or later. Resolving it or waiting for it a second time raises `RuntimeError`."""

    __slots__ = ("_callback", "_result")

    def __init__(self) -> None:
        self._result: tuple[T] | None = None
        self._callback: Callable[[T], object] | None = None

    def resolve(self, result: T) -> None:
        """Sets the result, and calls back if somebody waits already."""
        if self._result is not None:
            raise RuntimeError("a deferred result is resolved only once")
        self._result = (result,)
        if self._callback is not None:
            self._callback(result)

    def then(self, callback: Callable[[T], object]) -> None:
        """Calls `callback(result)` once: now if the result is there, else from `resolve`."""
        if self._callback is not None:
            raise RuntimeError("a deferred result is waited for only once")
        self._callback = callback
        if self._result is not None:
            callback(self._result[0])

    def map(self, function: Callable[[T], U]) -> Deferred[U]:
        """`function` of the result, deferred as well."""
        mapped: Deferred[U] = Deferred()
        self.then(lambda result: mapped.resolve(function(result)))
        return mapped
