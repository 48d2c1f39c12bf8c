"""Connections to a store: a single server, a Sentinel set or a cluster, through redis-py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, cast

from hiredis import pack_command
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from proxy.state.deadline import deadline
from proxy.state.error_map import mapped
from proxy.store_address import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.store_address import StoreAddress

Command = tuple[str | bytes | int, ...]

# Connecting (TLS, AUTH, asking a Sentinel) may take longer than a call; no caller waits for it.
CONNECT_SECONDS = 2.0
_CLUSTER_COMMANDS = 32
# Not every exception of redis-py is a RedisError.
FOREIGN = (RedisError, RedisClusterException, OSError)


class Backend(Protocol):
    """A kind of store. `connect` and `run` raise `StoreUnavailable`."""

    one_node: bool
    """Whether one command may use keys with different hash tags."""

    async def connect(self) -> None:
        """Make sure that there is a usable connection."""

    async def run(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Send the commands together. An error reply is returned as an exception in its place."""

    async def forget(self) -> None:
        """Drop idle connections: their server may be gone."""

    async def close(self) -> None:
        """Close everything."""


def backend_for(address: StoreAddress, connections: int) -> Backend:
    """Return the backend of a store, with at most `connections`; it is not connected yet."""
    if address.kind is Kind.CLUSTER:
        return ClusterBackend(address)
    if address.kind is Kind.SENTINEL:
        sentinels = _sentinels(address)
        pool = sentinels.master_for(address.service).connection_pool
        return PoolBackend(pool, connections, sentinels.sentinels)
    return PoolBackend(_pool(address), connections)


class PoolBackend:
    """A single server, or the master of a Sentinel set."""

    one_node = True

    def __init__(
        self, pool: ConnectionPool, connections: int, sentinels: Sequence[Redis] = ()
    ) -> None:
        self._pool = pool
        self._sentinels = sentinels
        self._connections = connections
        self._warm = False
        self._idle: list[AbstractConnection] = []
        """Open connections, outside redis-py's pool: its bookkeeping costs more than a call."""

    async def connect(self) -> None:
        """Open all connections, so that no call has to open one within its deadline."""
        if self._warm:
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._into_the_pool()
                while len(self._idle) < self._connections:
                    self._idle.append(await _connection(self._pool))
        except FOREIGN as error:
            raise mapped(error) from error
        self._warm = True

    async def run(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Send the commands in one write, and return the answers in order.

        On any exception, a cancellation included, the connection is closed: otherwise the next
        call would read this call's answers.
        """
        try:
            async with deadline(seconds):
                connection = await self._open_connection()
                whole = False
                try:
                    # hiredis packs in C; redis-py's asyncio client packs in Python, per argument.
                    await connection.send_packed_command(b"".join(map(_packed, commands)))
                    answers = [await _answer(connection) for _ in commands]
                    whole = True
                finally:
                    if whole:
                        self._idle.append(connection)
                    else:
                        await connection.disconnect(nowait=True)
                        await self._pool.release(connection)
        except FOREIGN as error:
            self._warm = False
            raise mapped(error) from error
        return answers

    async def _open_connection(self) -> AbstractConnection:
        if not self._idle:
            return await _connection(self._pool)
        connection = self._idle.pop()
        try:
            # Reopens the connection if the store has closed it.
            await self._pool.ensure_connection(connection)
        except BaseException:
            await self._pool.release(connection)
            raise
        return connection

    async def _into_the_pool(self) -> None:
        while self._idle:
            await self._pool.release(self._idle.pop())

    async def forget(self) -> None:
        """Drop idle connections; those in use fail by themselves.

        The next connection asks the Sentinels for the master again: it may have changed.
        """
        self._warm = False
        await self._into_the_pool()
        await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close every connection, including those to the Sentinels."""
        await self._pool.disconnect()
        for client in self._sentinels:
            await client.aclose()


class ClusterBackend:
    """A cluster; its client tracks the slots itself."""

    one_node = False

    def __init__(self, address: StoreAddress) -> None:
        self._client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            ssl=address.tls,
            require_full_coverage=False,
            reinitialize_steps=1,
            **{**_common(address), "retry": Retry(NoBackoff(), 1)},
        )
        # Each running command of a cluster occupies one connection.
        self._at_once = asyncio.Semaphore(_CLUSTER_COMMANDS)

    async def connect(self) -> None:
        """Load the slot table, and connect to every master that answers."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._client = await self._client.initialize()
                await asyncio.gather(
                    *(
                        self._client.ping(target_nodes=node)
                        for node in self._client.get_primaries()
                    ),
                    return_exceptions=True,
                )
        except FOREIGN as error:
            raise mapped(error) from error

    async def run(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Send each command to the node that has its key, concurrently."""
        try:
            async with deadline(seconds):
                return await asyncio.gather(
                    *(self._run_one(command) for command in commands),
                    return_exceptions=True,
                )
        except FOREIGN as error:
            raise mapped(error) from error

    async def _run_one(self, command: Command) -> Any:
        async with self._at_once:
            return await self._client.execute_command(*command)

    async def forget(self) -> None:
        """Do nothing: the client reloads the slot table after each error."""

    async def close(self) -> None:
        """Close every connection."""
        await _closed(self._client)


async def _closed(client: RedisCluster) -> None:
    await client.aclose()
    # A client that is about to reload its slot table does not close its connections itself.
    nodes = client.nodes_manager
    for node in [*nodes.nodes_cache.values(), *nodes.startup_nodes.values()]:
        await node.disconnect()


async def _connection(pool: ConnectionPool) -> AbstractConnection:
    connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
    return connection


def _packed(command: Command) -> bytes:
    # hiredis' annotations wrongly allow one argument only.
    return cast("bytes", pack_command(command))  # type: ignore[arg-type]


async def _answer(connection: Any) -> Any:
    try:
        # The connection stays usable after an error reply.
        return await connection.read_response(disconnect_on_error=True)
    except RedisError as error:
        if not connection.is_connected:
            raise
        return error


def _common(address: StoreAddress) -> dict[str, Any]:
    return {
        "username": address.username,
        "password": address.password,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # Older and hosted servers may not support RESP3's handshake.
        "protocol": 2,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _sentinels(address: StoreAddress) -> Sentinel:
    # Sentinels have no databases and usually no users: the credentials are the store's.
    asking = {
        "socket_timeout": CONNECT_SECONDS / 2,
        "socket_connect_timeout": CONNECT_SECONDS / 2,
        "ssl": address.tls,
        "protocol": 2,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    hosts, common = list(address.hosts), _common(address)
    more = {**common, "ssl": address.tls, "db": address.database}
    return Sentinel(hosts, sentinel_kwargs=asking, **more)  # type: ignore[no-untyped-call]


def _pool(address: StoreAddress) -> ConnectionPool:
    common = {**_common(address), "db": address.database}
    if address.kind is Kind.UNIX:
        return ConnectionPool(
            connection_class=UnixDomainSocketConnection, path=address.path, **common
        )
    host, port = address.hosts[0]
    connection_class = SSLConnection if address.tls else Connection
    return ConnectionPool(
        connection_class=connection_class, host=host, port=port, socket_keepalive=True, **common
    )
