"""Things that must not show: what holds a private key says so here, once.

People look at objects: a cell ends with one, a log line formats one, IPython's verbose tracebacks, rich and pytest print
the `repr` of every local variable, and "save this for later" pickles whatever it finds. A `Secret` shows only what its
class chooses to tell, in every one of these ways, and is neither pickled nor copied. `SecretBytes` are the raw octets of
a private or symmetric key: real `bytes`, which libraries take as they are, but whose `repr` and `str` tell nothing. Code
that holds key material binds no plain `bytes` of it to a name, so no frame, ours or a library's, has any to show.

Nothing here hides a secret from someone who asks for it: `bytes(secret)` and `secret.hex()` say what they do.
"""

from __future__ import annotations

import html
from typing import Any, NoReturn


class Secret:
    """Base of what holds a secret. A subclass overrides `__repr__` with public facts only; the rest follows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: not shown>"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 (IPython's signature)
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 (IPython's signature)
        printer.text(repr(self))

    def _refuse(self, what: str) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and cannot be {what}: hand over the object itself")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self._refuse("pickled")

    def __reduce__(self) -> NoReturn:
        self._refuse("pickled")

    def __getstate__(self) -> NoReturn:
        self._refuse("pickled")

    def __copy__(self) -> NoReturn:
        self._refuse("copied")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self._refuse("copied")


class SecretBytes(Secret, bytes):
    """Key material: `bytes` that do not show. What is cut from or added to them is ordinary `bytes` again.

    Made by `bytes`' own constructor: one in Python would have a frame that holds them in plain sight.
    """

    __slots__ = ()
