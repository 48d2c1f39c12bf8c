"""Determines the client's address, scheme and host from trusted proxies' forwarding headers.

The rules are those of nginx's realip module with `real_ip_recursive on`: starting from the
connection's peer, each trusted address may name the one before it, and the first that is not
trusted is the client. Forwarding headers from anyone else are ignored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from multidict import MultiMapping

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_SCHEMES = frozenset({"http", "https"})
_LONGEST_FORWARDED = 1024
"""Characters; a crafted `Forwarded` of a few thousand takes aiohttp milliseconds to parse."""


class Client(NamedTuple):
    """A client's address and request target; empty where unknown."""

    address: str
    peer: str
    """The address of the connection's peer."""
    scheme: str
    host: str
    trusted: bool
    """Whether the peer is a trusted proxy."""


class TrustedProxies:
    """The networks of the proxies whose forwarding headers are trusted."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def trusts(self, address: str) -> bool:
        """Whether an address is in a trusted network; False for an invalid address."""
        parsed_address = parsed(address)
        return parsed_address is not None and any(
            parsed_address in network for network in self._networks
        )

    def client_address(self, peer: str, before: Sequence[str]) -> str:
        """Return the last untrusted address of the chain `before` that led to the peer.

        If all are trusted it is the first; an invalid address ends the chain.
        """
        address = _plain(peer)
        for hop in reversed(before):
            hop_address = parsed(hop)
            if not self.trusts(address) or hop_address is None:
                break
            address = str(hop_address)
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
        """Return the client of a request from `peer`, by `scheme` and for `host`.

        `forwarded` parses `Forwarded` (RFC 7239), which is used without an `X-Forwarded-For`. It is
        called for trusted proxies only, because a crafted one is slow to parse.
        """
        peer = _plain(peer)
        if not self._networks or not self.trusts(peer):
            return Client(peer, peer, scheme, host, trusted=False)
        elements = forwarded() if _is_readable(headers) else ()
        nearest = elements[-1] if elements else {}
        chain = _listed(headers, "X-Forwarded-For") or [
            element.get("for", "") for element in elements
        ]
        forwarded_scheme = _last(headers, "X-Forwarded-Proto") or nearest.get("proto", "")
        forwarded_host = _last(headers, "X-Forwarded-Host") or nearest.get("host", "")
        scheme = forwarded_scheme.lower() if forwarded_scheme.lower() in _SCHEMES else scheme
        return Client(
            self.client_address(peer, chain), peer, scheme, forwarded_host or host, trusted=True
        )


def parsed(text: str) -> Address | None:
    """Parse an address, with or without a port and brackets; None if invalid.

    An IPv4-mapped IPv6 address becomes the IPv4 address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_readable(headers: MultiMapping[str]) -> bool:
    """Whether there is a `Forwarded` header of a plausible length."""
    return 0 < sum(map(len, headers.getall("Forwarded", ()))) <= _LONGEST_FORWARDED


def _plain(address: str) -> str:
    parsed_address = parsed(address)
    return address if parsed_address is None else str(parsed_address)


def _listed(headers: MultiMapping[str], name: str) -> list[str]:
    lines = headers.getall(name, ())
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]


def _last(headers: MultiMapping[str], name: str) -> str:
    return (_listed(headers, name) or [""])[-1]
