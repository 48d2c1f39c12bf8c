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


class Crowd:
    """So many requests at once: every second one has its first token late."""

    def __init__(self, port: int, size: int) -> None:
        self.seen: Counter[str] = Counter()
        """`complete`, `cut`, a status, or `no answer`."""
        self._port = port
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(size)]
        for one in self._threads:
            one.start()

    def wait(self) -> Counter[str]:
        """Wait for all, and give what they saw."""
        for one in self._threads:
            one.join()
        return self.seen

    def _ask(self, number: int) -> None:
        model = f"demo;ttft={0.1 if number % 2 else 2};rate=10;tokens=40"
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=40)
        saw = "no answer"
        try:
            client.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
            answer = client.getresponse()
            saw = str(answer.status) if answer.status != 200 else "cut"
            if b"[DONE]" in answer.read():
                saw = "complete"
        except (OSError, http.client.HTTPException):
            pass  # what was seen until then is what counts
        finally:
            client.close()
            with self._lock:
                self.seen[saw] += 1


def counted(running: Running) -> Counter[str]:
    """What `/metrics` says of chat requests, by outcome."""
    found: Counter[str] = Counter()
    text = running.get("/metrics", admin=True)[1].decode()
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name == "sluice_requests_total" and one.labels["route"] == CHAT:
                found[one.labels["ended_by"]] += int(one.value)
    return found
