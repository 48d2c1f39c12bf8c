"""A store that answers each script by its name, as long as the test does not say otherwise."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.state.script import Script
    from proxy.state.store import Store

PIPELINE = "pipeline"
"""The name under which plain commands are answered."""


class Asked(NamedTuple):
    """One call: the script's name, its keys, its arguments; or a pipeline's commands."""

    name: str
    keys: tuple[Any, ...]
    arguments: tuple[Any, ...] = ()


class AnsweringStore:
    """`answers` holds an answer for each name: a value, an exception, or a function of the call."""

    timeout = 1.0

    def __init__(self, *, one_node: bool = True, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.available = True
        self.backend = SimpleNamespace(one_node=one_node)

    async def run(self, script: Script, keys: Any = (), arguments: Any = ()) -> Any:
        """Answer a script."""
        answer = self._answer(Asked(script.name, tuple(keys), tuple(arguments)))
        return await answer if asyncio.isfuture(answer) else answer

    async def run_past_breaker(
        self, script: Script, keys: Any, arguments: Any, _seconds: float
    ) -> Any:
        """Answer a script for which nobody waits long."""
        return await self.run(script, keys, arguments)

    def send(self, script: Script, keys: Any = (), arguments: Any = ()) -> asyncio.Future[Any]:
        """Answer a script at once, in a future."""
        future = asyncio.get_running_loop().create_future()
        future.set_result(self._answer(Asked(script.name, tuple(keys), tuple(arguments))))
        return future

    async def pipeline(self, commands: Any, _seconds: float) -> Any:
        """Answer some commands."""
        return self._answer(Asked(PIPELINE, tuple(commands)))

    def calls(self, name: str) -> list[Asked]:
        """What was asked by this name."""
        return [asked for asked in self.asked if asked.name == name]

    def _answer(self, asked: Asked) -> Any:
        self.asked.append(asked)
        answer = self.answers[asked.name]
        if isinstance(answer, Exception):
            raise answer
        return answer(asked) if callable(answer) else answer

    @property
    def as_store(self) -> Store:
        """The same for who wants a real one."""
        return cast("Store", self)


async def until(true: Callable[[], object]) -> None:
    """Let everything run that can, until something holds."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0)
