"""The resuming fetch under the packages that it is for; every connection breaks somewhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.examples.resumable_server import TEXT, Script, chat_events, messages_events, serving

pytestmark = [pytest.mark.examples, pytest.mark.no_blockbuster, pytest.mark.timeout(300)]
ASKS = Path(__file__).with_name("resume.js")
EVENTS = {"openai": chat_events, "ai": chat_events, "anthropic": messages_events}


def run(folder: Path, kind: str, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ASKS, folder)
    command = ["node", ASKS.name, kind, url, *more]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("cut_after", [340, 555, 1200])
def test_a_lost_connection(node_folder: Path, kind: str, cut_after: int) -> None:
    """Whatever each connection carries before it breaks: all of the text, once."""
    script = Script(EVENTS[kind](), cut_after)
    with serving(script) as url:
        ran = run(node_folder, kind, url)
    assert (ran.stdout, ran.stderr) == (TEXT, "")
    assert [call for call in script.asked if call.startswith("POST")] == ["POST true"]
    assert any(call.startswith("GET") for call in script.asked)


@pytest.mark.parametrize("kind", EVENTS)
def test_a_user_who_stops(node_folder: Path, kind: str) -> None:
    """An abort stops the answer, and nothing more is asked for."""
    script = Script(EVENTS[kind](), pause=0.1)
    with serving(script) as url:
        run(node_folder, kind, url, "3")
        assert script.stopped.wait(10)
    assert script.asked[0] == "POST true"
    assert set(script.asked[1:]) == {"DELETE"}


@pytest.mark.parametrize("kind", EVENTS)
def test_a_stream_that_ended_badly(node_folder: Path, kind: str) -> None:
    """What was cut upstream stays cut: the loss is the reader's."""
    script = Script(EVENTS[kind]()[:6], ended_by="upstream_cut")
    with serving(script) as url:
        ran = run(node_folder, kind, url)
    assert ran.returncode == 1
    assert ran.stderr
    assert "GET ?after=6" in script.asked
