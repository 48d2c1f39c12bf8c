"""A store that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from proxy.state.store import Store


class ScriptedStore:
    """Answers in turn; an exception among the answers is raised."""

    timeout = 1.0

    def __init__(self, *answers: Any, available: bool = True) -> None:
        self.answers = deque(answers)
        self.asked: list[tuple[Any, ...]] = []
        self.available = available

    async def run(self, _script: object, keys: Any = (), arguments: Any = ()) -> Any:
        """Answer a script."""
        return self._answer(tuple(keys), tuple(arguments))

    async def pipeline(self, commands: Any, _seconds: float) -> Any:
        """Answer some commands."""
        return self._answer(*commands)

    def _answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


def as_store(scripted: ScriptedStore) -> Store:
    """The same for who wants a real one."""
    return cast("Store", scripted)
