"""Parses the store's address, `SLUICE_STORE_URL`, without a DNS lookup."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, unquote, urlsplit

OFF = "off"
_STORE_PORT = 6379
_SENTINEL_PORT = 26379
_FORMS = (
    "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS), unix:///PATH, "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or redis+cluster://HOST:PORT,HOST:PORT "
    "(rediss+… for TLS), or `off`"
)


class Kind(StrEnum):
    """How a store is reached."""

    SERVER = "server"
    UNIX = "unix"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """The address of one store, which may consist of several machines."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    """The name of the set that the Sentinels monitor."""
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False

    @property
    def shown(self) -> str:
        """The address to show: without user and password."""
        if self.kind is Kind.UNIX:
            return f"unix://{self.path}"
        scheme = "rediss" if self.tls else "redis"
        if self.kind is not Kind.SERVER:
            scheme = f"{scheme}+{self.kind}"
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{hosts}{service}" + (f"/{self.database}" if self.database else "")


def parse(url: str) -> StoreAddress:
    """Parse a store's URL.

    Raises `ValueError`; the message says what would be valid, and never shows the URL, which may
    contain a password.
    """
    parts = urlsplit(url.strip())
    if parts.query or parts.fragment:
        raise ValueError("a store's URL has no query and no fragment")
    username, password = _credentials(parts)
    scheme, _, form = parts.scheme.partition("+")
    if parts.scheme in {"unix", "redis+unix"}:
        if not parts.path.startswith("/") or parts.netloc.rpartition("@")[2]:
            raise ValueError("a unix socket is unix:///PATH, with three slashes")
        path = unquote(parts.path)
        return StoreAddress(Kind.UNIX, path=path, username=username, password=password)
    kind = {"": Kind.SERVER, "sentinel": Kind.SENTINEL, "cluster": Kind.CLUSTER}.get(form)
    if kind is None or scheme not in {"redis", "rediss", "valkey", "valkeys"}:
        raise ValueError(f"a store is one of {_FORMS}")
    service, database = _path(kind, [unquote(part) for part in parts.path.split("/") if part])
    return StoreAddress(
        kind,
        hosts=_hosts(parts, _SENTINEL_PORT if kind is Kind.SENTINEL else _STORE_PORT, kind),
        service=service,
        database=database,
        username=username,
        password=password,
        tls=scheme in {"rediss", "valkeys"},
    )


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(user) or None, unquote(password) or None


def _hosts(parts: SplitResult, port: int, kind: Kind) -> tuple[tuple[str, int], ...]:
    hosts = []
    for host_and_port in parts.netloc.rpartition("@")[2].split(","):
        # `urlsplit` parses a single host, with the brackets of an IPv6 address.
        host = urlsplit(f"//{host_and_port}")
        try:
            hosts.append((host.hostname or "", host.port or port))
        except ValueError:
            # Its own message would show text that may be a password without its host.
            raise ValueError("a port is a number up to 65535") from None
        if not host.hostname:
            raise ValueError(f"a host is missing; a store is one of {_FORMS}")
    if len(hosts) > 1 and kind is Kind.SERVER:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    return tuple(hosts)


def _path(kind: Kind, path: list[str]) -> tuple[str, int]:
    service = ""
    if kind is Kind.SENTINEL:
        if not path:
            raise ValueError("the service is missing: redis+sentinel://HOST:PORT/SERVICE")
        service = path.pop(0)
    if len(path) > 1 or not all(part.isdecimal() for part in path):
        raise ValueError("the path after the host must be a database number")
    database = int(path[0]) if path else 0
    if kind is Kind.CLUSTER and database:
        raise ValueError("a cluster has only the database 0")
    return service, database
