"""SIGTERM to every process of an appliance, as systemd sends it, while a stream runs."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.appliance.running import Running, children_of, wait_until

KEY = "a-key-of-a-client"
LIMITED = f'[{{"name": "one", "key": "{KEY}", "requests_per_minute": 100}}]'


def sigterm_to_all(running: Running) -> None:
    for pid in [*children_of(running.process.pid), running.process.pid]:
        # Those that end by themselves may have done so since they were listed.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def appliance(folder: Path, **settings: str) -> Running:
    """With its demo upstream and, for the limits of a key, its embedded store."""
    given = {"SLUICE_UPSTREAM_URL": "", "SLUICE_KEYS": LIMITED}
    return Running(folder, "-m", "proxy", "run", **(given | settings))


def asked(running: Running, tokens: int) -> Any:
    return httpx.stream(
        "POST",
        f"http://127.0.0.1:{running.port}/v1/chat/completions",
        headers={"Authorization": f"Bearer {KEY}"},
        json={"model": f"demo;ttft=0;rate=20;tokens={tokens}", "stream": True, "messages": []},
        timeout=30,
    )


def has_ended(running: Running, ended_by: str) -> bool:
    return any(line["ended_by"] == ended_by for line in running.logged("request"))


def test_a_stream_runs_to_its_end(tmp_path: Path) -> None:
    """Workers, nginx, demo and store end after it; it is logged as complete, and the exit is 0."""
    with appliance(tmp_path) as running:
        running.ready()
        with asked(running, 40) as answer:
            lines = answer.iter_lines()
            next(lines)
            sigterm_to_all(running)
            wait_until(running.refuses, "a closed port")
            assert "data: [DONE]" in list(lines)
        assert running.ended() == 0
        assert has_ended(running, "complete")
        assert not running.logged("died")


def test_a_second_signal_is_said_in_the_stream(tmp_path: Path) -> None:
    """The family's error event leaves before the stream is cut."""
    seen = []
    with appliance(tmp_path) as running:
        running.ready()
        with asked(running, 10_000) as answer:
            lines = answer.iter_lines()
            next(lines)
            sigterm_to_all(running)
            wait_until(running.refuses, "a closed port")
            sigterm_to_all(running)
            with pytest.raises(httpx.TransportError):
                for line in lines:
                    seen.append(line)  # noqa: PERF402 they must be there when it raises
        assert running.ended() == 1
        assert has_ended(running, "drained")
    assert any(line.startswith("data: {") and "gateway_stopped" in line for line in seen)
