"""Reads OpenAI legacy completions: chat's chunks, with `text` in a choice instead of a delta.

Source: OpenAI API reference, "Completions (legacy)".
"""

from __future__ import annotations

from proxy.meter.families.chat import Chat
from proxy.record import Family


class Completions(Chat):
    """Reads legacy completion chunks."""

    __slots__ = ()

    family = Family.COMPLETIONS
