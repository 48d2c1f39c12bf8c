"""An upstream that answers each request by the row of the table that it names."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.upstream.peer import Connection, Peer, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.integration.hostile.answers import Row

_NAMED = re.compile(rb"row-(\d+)")
_GOOD = re.compile(rb"good-(\d+)")


@asynccontextmanager
async def malicious(rows: Sequence[Row]) -> AsyncIterator[Peer]:
    """Run it: `row-N` in the path or the body asks for a row, `good-N` for just that as a body."""

    async def script(connection: Connection) -> None:
        while True:
            asked = await connection.request() + connection.body
            if good := _GOOD.search(asked):
                await connection.say(plain(good[0]))
            elif named := _NAMED.search(asked):
                row = rows[int(named[1])]
                await _answer(connection, row)
                if row.then != "wait":
                    await connection.end(row.then)
                    return

    async with Peer(script) as peer:
        yield peer


async def _answer(connection: Connection, row: Row) -> None:
    for step in row.says:
        if isinstance(step, bytes):
            await connection.say(step)
        else:
            await asyncio.sleep(step)
