"""Recognizes header fields that reveal the client's address, which upstreams need not know."""

from __future__ import annotations

import re

_WITHIN = re.compile(
    "forwarded|clientip|clientaddr|clientcert|clientconnectionip|connectingip|externaladdress"
    "|ipcity|ipcountry|iplatitude|iplongitude|originalhost|originatingip|pseudoipv4|realip"
    "|remoteaddr|remoteip|socketip|userip"
)
"""RFC 7239, and the equivalents of proxies and CDNs, with any prefix."""
_WHOLE = frozenset({"ip", "xip", "xhost"})
_HARMLESS = frozenset({"xforwardedport", "xforwardedproto", "xforwardedscheme"})
_NOISE = re.compile("[^a-z0-9]+")


def tells_client(name: str) -> bool:
    """Whether a field of that name reveals the client's address or the requested host.

    Only letters and digits are compared: servers treat an underscore as a hyphen.
    """
    bare = _NOISE.sub("", name.lower())
    return bare in _WHOLE or (bare not in _HARMLESS and _WITHIN.search(bare) is not None)
