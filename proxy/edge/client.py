"""Who the client is: whose connection it is, or whom the trusted proxies in front name.

The rules are those of nginx's realip module with `real_ip_recursive on`: from the connection's own
end backwards, each address that is trusted may name the one before it, and the first that is not
trusted is the client. What anybody else says of a client's address is only a claim.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from multidict import MultiMapping

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_SCHEMES = frozenset({"http", "https"})
_LONGEST_FORWARDED = 1024
"""Characters; aiohttp needs milliseconds for a few thousand that are made for it."""


class Client(NamedTuple):
    """What is believed of a client; empty where nothing is known."""

    address: str
    peer: str
    """The address of whoever connected."""
    scheme: str
    host: str
    trusted: bool
    """Whether the peer is believed in what it says of others."""


class TrustedProxies:
    """The proxies in front whose word on a client is taken."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(one) for one in networks)

    def trusts(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy; what is no address is none."""
        found = parsed(address)
        return found is not None and any(found in network for network in self._networks)

    def client_address(self, peer: str, before: Sequence[str]) -> str:
        """The last address that is not trusted; `before` is the chain that led to the peer.

        Where all are trusted it is the first of them; what cannot be read ends the chain.
        """
        address = _plain(peer)
        for said in reversed(before):
            named = parsed(said)
            if not self.trusts(address) or named is None:
                break
            address = str(named)
        return address

    def client(
        self,
        peer: str,
        *,
        scheme: str,
        host: str,
        headers: MultiMapping[str],
        forwarded: Callable[[], Sequence[Mapping[str, str]]],
    ) -> Client:
        """The client of a request that came from `peer`, by `scheme` and for `host`.

        `forwarded` reads the elements of `Forwarded` (RFC 7239), which counts where there is no
        `X-Forwarded-For`. It is asked of trusted proxies only: a stranger's may be long to read.
        """
        peer = _plain(peer)
        if not self._networks or not self.trusts(peer):
            return Client(peer, peer, scheme, host, trusted=False)
        elements = forwarded() if _is_readable(headers) else ()
        nearest = elements[-1] if elements else {}
        chain = _listed(headers, "X-Forwarded-For") or [one.get("for", "") for one in elements]
        said = _last(headers, "X-Forwarded-Proto") or nearest.get("proto", "")
        asked = _last(headers, "X-Forwarded-Host") or nearest.get("host", "")
        scheme = said.lower() if said.lower() in _SCHEMES else scheme
        return Client(self.client_address(peer, chain), peer, scheme, asked or host, trusted=True)


def parsed(text: str) -> Address | None:
    """An address, with or without a port and brackets; None for what is none.

    Of IPv6's own way to write an IPv4 address it is the latter.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _is_readable(headers: MultiMapping[str]) -> bool:
    """Whether there is a `Forwarded`, and no more of it than proxies can have written."""
    return 0 < sum(map(len, headers.getall("Forwarded", ()))) <= _LONGEST_FORWARDED


def _plain(address: str) -> str:
    found = parsed(address)
    return address if found is None else str(found)


def _listed(headers: MultiMapping[str], name: str) -> list[str]:
    lines = headers.getall(name, ())
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]


def _last(headers: MultiMapping[str], name: str) -> str:
    return (_listed(headers, name) or [""])[-1]
