"""Which fields tell who the client is: nothing that a third party has to know."""

from __future__ import annotations

import re

_WITHIN = re.compile(
    "forwarded|clientip|clientaddr|clientcert|clientconnectionip|connectingip|externaladdress"
    "|ipcity|ipcountry|iplatitude|iplongitude|originalhost|originatingip|pseudoipv4|realip"
    "|remoteaddr|remoteip|socketip|userip"
)
"""RFC 7239, and what proxies and delivery networks say the same with, under any prefix."""
_WHOLE = frozenset({"ip", "xip", "xhost"})
_HARMLESS = frozenset({"xforwardedport", "xforwardedproto", "xforwardedscheme"})
_NOISE = re.compile("[^a-z0-9]+")


def tells_client(name: str) -> bool:
    """Whether a field of that name tells the client's address, or the host that it asked.

    By its letters alone: servers take an underscore for a hyphen.
    """
    bare = _NOISE.sub("", name.lower())
    return bare in _WHOLE or (bare not in _HARMLESS and _WITHIN.search(bare) is not None)
