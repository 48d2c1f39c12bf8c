"""The way to a store: a few commands out, as many answers back, over one warm connection."""

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

from proxy.state.errors import mapped
from proxy.state.patience import deadline
from proxy.store_address import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.store_address import StoreAddress

Command = tuple[str | bytes | int, ...]

# Connecting, with TLS, a log-in and a Sentinel's answer, takes longer than a call may; whoever
# waits for a call does not wait for this.
CONNECT_SECONDS = 2.0
_CLUSTER_COMMANDS = 32
# Not every exception of redis-py is a RedisError.
FOREIGN = (RedisError, RedisClusterException, OSError)


class Backend(Protocol):
    """One kind of store. `connect` and `run` raise `StoreUnavailable`."""

    one_node: bool
    """Whether one command may name keys of several tags."""

    async def connect(self) -> None:
        """Make sure that a connection is there and usable."""

    async def run(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Send the commands at once; an error reply is an exception in its place."""

    async def forget(self) -> None:
        """Drop idle connections: whatever they led to may be gone."""

    async def close(self) -> None:
        """Close everything."""


def backend_for(address: StoreAddress, connections: int) -> Backend:
    """The backend of a store, with so many connections; nothing is connected yet."""
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
        self, pool: ConnectionPool, connections: int, beside: Sequence[Redis] = ()
    ) -> None:
        self._pool = pool
        self._beside = beside
        self._connections = connections
        self._warm = False
        self._idle: list[AbstractConnection] = []
        """Open ones, kept out of the pool: its own bookkeeping costs more than a call."""

    async def connect(self) -> None:
        """Have open connections, so that no call has to open one in its short time."""
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
        """One write, and the answers in order.

        The connection is closed by whatever ends this early, a cancellation too: its answers
        would be taken for those of the next.
        """
        try:
            async with deadline(seconds):
                connection = await self._open_connection()
                whole = False
                try:
                    # Packed by C code: redis-py packs for asyncio in Python, argument by argument.
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
            # Opens it again if the store has closed it meanwhile.
            await self._pool.ensure_connection(connection)
        except BaseException:
            await self._pool.release(connection)
            raise
        return connection

    async def _into_the_pool(self) -> None:
        while self._idle:
            await self._pool.release(self._idle.pop())

    async def forget(self) -> None:
        """Idle connections go; those in use end by their own errors.

        A Sentinel set is asked anew who the master is: the old one may be a replica by now.
        """
        self._warm = False
        await self._into_the_pool()
        await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close every connection, those to the Sentinels too."""
        await self._pool.disconnect()
        for one in self._beside:
            await one.aclose()


class ClusterBackend:
    """A cluster, whose client follows the slots itself."""

    one_node = False

    def __init__(self, address: StoreAddress) -> None:
        self._client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            ssl=address.tls,
            require_full_coverage=False,
            reinitialize_steps=1,
            **{**_common(address), "retry": Retry(NoBackoff(), 1)},
        )
        # Each command of a cluster has a connection to itself while it runs.
        self._at_once = asyncio.Semaphore(_CLUSTER_COMMANDS)

    async def connect(self) -> None:
        """Know the slots, and have a connection to every master that answers."""
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
        """Each command to the node that has its key, side by side."""
        try:
            async with deadline(seconds):
                return await asyncio.gather(
                    *(self._one(command) for command in commands),
                    return_exceptions=True,
                )
        except FOREIGN as error:
            raise mapped(error) from error

    async def _one(self, command: Command) -> Any:
        async with self._at_once:
            return await self._client.execute_command(*command)

    async def forget(self) -> None:
        """Nothing: the client learns the slots anew by itself, after each error."""

    async def close(self) -> None:
        """Close every connection."""
        await _closed(self._client)


async def _closed(client: RedisCluster) -> None:
    await client.aclose()
    # A client that is about to learn its slots anew closes nothing by itself.
    nodes = client.nodes_manager
    for node in [*nodes.nodes_cache.values(), *nodes.startup_nodes.values()]:
        await node.disconnect()


async def _connection(pool: ConnectionPool) -> AbstractConnection:
    found: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
    return found


def _packed(command: Command) -> bytes:
    # hiredis' types say that a command has one argument.
    return cast("bytes", pack_command(command))  # type: ignore[arg-type]


async def _answer(connection: Any) -> Any:
    try:
        # An error reply leaves the connection as usable as any other answer.
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
        # Older and hosted servers need not know the newest handshake.
        "protocol": 2,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _sentinels(address: StoreAddress) -> Sentinel:
    # Sentinels have no databases and, mostly, no users: the log-in is the store's.
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
    way = SSLConnection if address.tls else Connection
    return ConnectionPool(
        connection_class=way, host=host, port=port, socket_keepalive=True, **common
    )
