"""Clients that record what they received, to compare it with the metrics."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from proxy.record import Family
from tests.integration.expected_tally import expected_tally
from tests.integration.faults.asking import Asking
from tests.integration.faults.gateways import RunningGateway
from tests.integration.faults.recorder import read_answer
from tests.integration.ledger import KeyLedger
from tests.integration.pausable_upstream import PausableUpstream, PausedAnswer
from tests.integration.raw import Line, post_json

UNASKED = (Family.CHAT, Family.COMPLETIONS)
"""Families whose streams have usage only on request."""


@dataclass(frozen=True)
class Situation:
    """An instruction to the demo upstream, and its outcome in every family."""

    model: str
    words: str = ""
    status: int = 200
    ended_by: str = "complete"
    stream: bool = True
    answered: bool = True
    """Whether an upstream answered: a model that none has answered is `other`."""


@dataclass
class Clients:
    """All clients, and the ledger in which they record what they received."""

    gateway: RunningGateway
    holding: PausableUpstream
    drains: bool
    ledger: KeyLedger = field(default_factory=KeyLedger)
    runs: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def run(self) -> str:
        """Return a new request's name."""
        self.runs.append(uuid.uuid4().hex)
        return self.runs[-1]

    def ended(self, asking: Asking, model: str, status: int, ended_by: str) -> None:
        """Return a request's record for the ledger."""
        route = asking.target.partition("?")[0]
        if asking.family is Family.GEMINI:
            route = f"/v1beta/models/:{route.rpartition(':')[2]}"
        self.ledger.request(route, model, status, ended_by, len(asking.body))

    async def hears(self, family: Asking, situation: Situation) -> None:
        """Send a request, and read its response to the end."""
        asking = asked(family, situation.model, stream=situation.stream)
        answer, _ = await read_answer(self.gateway.url, asking.request(situation.words, self.run()))
        assert answer.status == situation.status, (situation, family.family, answer.body)
        model = situation.model if situation.answered else "other"
        self.ended(asking, model, situation.status, situation.ended_by)
        if situation.status != 502:  # What the gateway says itself is no upstream's answer.
            self.ledger.received(len(answer.body))
        if situation.answered:
            tally = expected_tally(asking.family, answer.body, streamed=situation.stream)
            self.ledger.answered(asking.family, model, tally)

    async def hears_no_usage(self, family: Asking) -> None:
        """Send a request without usage, which the gateway requests and hides."""
        asking = asked(family, "hidden", usage=False)
        words = f"tokens={self.chance.randrange(5, 40)}"
        answer, _ = await read_answer(self.gateway.url, asking.request(words, self.run()))
        tally = expected_tally(asking.family, answer.body)
        assert not tally.usage
        self.ended(asking, "hidden", 200, "complete")
        self.ledger.received(len(answer.body))
        if asking.family is Family.CHAT:
            tally = expected_tally(
                asking.family, await self.from_upstream(asked(family, "hidden"), words)
            )
        self.ledger.answered(asking.family, "hidden", tally)

    async def is_refused(self, path: str) -> None:
        """Send an invalid request."""
        body = b'"no object"'
        fields = [("X-Request-ID", self.run())]
        async with await Line.open(self.gateway.url) as line:
            answer = await line.whole(post_json(path, "no object", fields))
        assert answer.status == 400
        self.ledger.request(path, "", 400, "rejected", len(body))

    async def waits(self, family: Asking, model: str, words: str) -> None:
        """Read half of a response, then let the upstream continue, and read the rest."""
        asking = asked(family, model)
        run, held = await self.held(asking, words, lambda events: events // 2)
        async with await Line.open(self.gateway.url) as line:
            await line.ask(asking.request("", run))
            assert await beginning(line, len(held.before)) == held.before
            held.resume.set()
            assert await line.body() == held.rest
        body = held.before + held.rest
        self.ended(asking, model, 200, "complete")
        self.ledger.received(len(body))
        self.ledger.answered(asking.family, model, expected_tally(asking.family, body))

    async def leaves(self, family: Asking) -> tuple[str, PausedAnswer]:
        """Leave between two events, after reading all earlier ones."""
        asking = asked(family, "left")
        words = f"tokens={self.chance.randrange(3, 30)}"
        run, held = await self.held(asking, words, lambda events: self.chance.randrange(1, events))
        line = await Line.open(self.gateway.url)
        await line.ask(asking.request("", run))
        assert await beginning(line, len(held.before)) == held.before
        line.leave()
        self.ended(asking, "left", 200, "client_left")
        self.ledger.received(len(held.before))
        before, late = expected_tally(asking.family, held.before), 0
        if self.drains:
            every = expected_tally(asking.family, held.before + held.rest)
            before, late = every, every.events.total() - before.events.total()
        self.ledger.answered(asking.family, "left", before, late=late)
        return run, held

    async def held(
        self, asking: Asking, words: str, place: Callable[[int], int]
    ) -> tuple[str, PausedAnswer]:
        """Prepare a response of the demo upstream that pauses at a place in it."""
        run, body = self.run(), await self.from_upstream(asking, words)
        self.holding.answers[run] = held = PausedAnswer.at(body, place)
        return run, held

    async def from_upstream(self, asking: Asking, words: str) -> bytes:
        """Return the upstream's response without the gateway."""
        answer, clean = await read_answer(self.gateway.upstream.url, asking.request(words))
        assert clean
        return answer.body


def asked(asking: Asking, model: str, *, stream: bool = True, usage: bool = True) -> Asking:
    """Return a family's request for this model, streamed or not, with usage or not."""
    asking_of_model = asking.of_model(model)
    document = json.loads(asking_of_model.body)
    if asking.family in UNASKED:
        document["stream_options"] = {"include_usage": usage}
    if not stream and asking.family is Family.GEMINI:
        return replace(asking_of_model, target=f"/v1beta/models/{model}:generateContent")
    return asking_of_model.with_body(
        json.dumps(document | ({} if stream else {"stream": False})).encode()
    )


async def beginning(line: Line, size: int) -> bytes:
    """Read at least so many bytes of a body."""
    seen = b""
    while len(seen) < size:
        seen += await line.part()
    return seen
