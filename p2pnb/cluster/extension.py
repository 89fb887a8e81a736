"""`%load_ext p2pnb`: the magic `%p2p`, which says how large things are drawn.

Everything else works without it. `%p2p stage` is for a projector: text of 18 px, thick lines, and nodes named with the beginning of
their uid, in cards, tables, pictures and widgets made from then on. `%p2p screen` goes back; `%p2p` says how it stands.
"""

from __future__ import annotations

from typing import Any

from p2pnb.views import svg

LOOKS = {"stage": svg.STAGE, "screen": svg.SCREEN}


def p2p(line: str) -> None:
    """`%p2p stage` draws large and thick, for a projector; `%p2p screen` as usual; `%p2p` says which of the two it is.

    Raises `UsageError` for any other word. Example: `%p2p stage`.
    """
    word = line.strip()
    if word:
        if word not in LOOKS:
            from IPython.core.error import UsageError  # noqa: PLC0415 (there is IPython where there is a magic)

            raise UsageError(f"%p2p takes stage or screen, not {word!r}")
        svg.set_look(LOOKS[word])
    now = next(name for name, look in LOOKS.items() if look == svg.look())
    other = "%p2p screen goes back" if now == "stage" else "%p2p stage is for a projector"
    print(f"{now}: text of {round(12 * svg.look().scale)} px; {other}. Cells that are run from now on draw so.")  # noqa: T201


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext p2pnb` does."""
    shell.register_magic_function(p2p, "line", "p2p")


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext p2pnb` does."""
    shell.magics_manager.magics["line"].pop("p2p", None)
    svg.set_look(svg.SCREEN)
