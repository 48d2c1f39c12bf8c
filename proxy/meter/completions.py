"""OpenAI legacy completions: chat's chunks, with `text` in a choice where chat has a delta.

Source: OpenAI API reference, "Completions (legacy)".
"""

from __future__ import annotations

from proxy.exchange import Family
from proxy.meter.chat import Chat


class Completions(Chat):
    """Reads legacy completion chunks."""

    __slots__ = ()

    family = Family.COMPLETIONS
