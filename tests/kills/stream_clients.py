"""Clients that ask an appliance for streams and say what they saw, and what it says of them."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.appliance.running import Running

CHAT = "/v1/chat/completions"
COMPLETE = "complete"
CUT = "cut"
TOLD = "cut with an error"
UNANSWERED = "no answer"
_MODELS = ("demo;ttft=2;rate=10;tokens=40", "demo;ttft=0.1;rate=10;tokens=40")
SHORT = "demo;tokens=2"


class StreamClients:
    """So many requests at once: every second one has its first token late."""

    def __init__(
        self, port: int, size: int, *, model: str = "", padding: int = 0, key: str = ""
    ) -> None:
        self.seen: Counter[str] = Counter()
        """`complete`, `cut`, `cut with an error`, a status, or `no answer`."""
        self._port = port
        self._text = "Hi" + "." * padding
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._lock = threading.Lock()
        models = [model or _MODELS[number % 2] for number in range(size)]
        self._threads = [threading.Thread(target=self._ask, args=(name,)) for name in models]
        for thread in self._threads:
            thread.start()

    def wait(self) -> Counter[str]:
        """Wait for all, and give what they saw."""
        for thread in self._threads:
            thread.join()
        return self.seen

    def _ask(self, model: str) -> None:
        messages = [{"role": "user", "content": self._text}]
        body = json.dumps({"model": model, "stream": True, "messages": messages})
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=40)
        saw, read = UNANSWERED, b""
        try:
            client.request("POST", CHAT, body, self._headers)
            answer = client.getresponse()
            saw = str(answer.status) if answer.status != 200 else CUT
            while piece := answer.read1():
                read += piece
            if saw == CUT and b"data: [DONE]" in read:
                saw = COMPLETE
        except (OSError, http.client.HTTPException):
            # What was seen until then is what counts.
            saw = TOLD if b'data: {"error"' in read else saw
        finally:
            client.close()
            with self._lock:
                self.seen[saw] += 1


def counted(running: Running) -> Counter[str]:
    """What `/metrics` says of chat requests, by outcome."""
    counts: Counter[str] = Counter()
    text = running.get("/metrics", admin=True)[1].decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "sluice_requests_total" and sample.labels["route"] == CHAT:
                counts[sample.labels["ended_by"]] += int(sample.value)
    return +counts


def in_flight(running: Running) -> float:
    """How many requests hold a slot, by `/metrics`."""
    text = running.get("/metrics", admin=True)[1].decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "sluice_streams_in_flight"
    )
