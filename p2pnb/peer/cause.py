"""Why a message was sent: the call that caused it, or the upkeep that nobody asked for.

A context variable, because asyncio hands it on by itself: every task that a call starts, however deep, sees the call's
cause, and a timer that was armed outside any call sees the default. The event log reads it; no decision ever does.
"""

from __future__ import annotations

from contextvars import ContextVar

UPKEEP = "upkeep"

CAUSE: ContextVar[str] = ContextVar("p2pnb.peer.cause", default=UPKEEP)
"""The running call's id, such as "set#12"; "upkeep" outside of calls."""
