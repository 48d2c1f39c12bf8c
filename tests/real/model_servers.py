"""llama.cpp's own HTTP server on tiny models with random weights: all but the text is real."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.ports import free_port

TOOLS = Path(__file__).parents[3] / "shared" / "tools" / "llama"
START_SECONDS = 60.0
MODELS = {
    "tiny": (),
    "bytes": ("--bytes",),
    "endless": ("--eos-bias", "-30", "--ctx", "65536"),
}
"""What each is made with: one like any other, one that says raw bytes, one that never stops."""


def why_not() -> str:
    """What is missing; empty if everything is there."""
    for name in ("gguf", "numpy", "xllamacpp"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed; `make test-real` does that"
    if not (TOOLS / "server.py").is_file():
        return f"the model server's scripts are not at {TOOLS}"
    return ""


@dataclass(frozen=True)
class ModelServer:
    """A running model server."""

    name: str
    url: str
    log: Path

    def has_logged(self, text: str) -> int:
        """How often it has said something."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(text)


@contextmanager
def running(name: str, folder: Path) -> Iterator[ModelServer]:
    """Make the model and serve it, with four slots."""
    model, port = folder / f"{name}.gguf", free_port()
    subprocess.run(
        [sys.executable, str(TOOLS / "make-tiny-gguf.py"), str(model), *MODELS[name]], check=True
    )
    log = folder / f"{name}.log"
    arguments = ("--port", str(port), "--model", str(model), "--alias", name, "--ctx", "65536")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(TOOLS / "server.py"), *arguments], stdout=out, stderr=out
        )
    try:
        server = ModelServer(name, f"http://127.0.0.1:{port}", log)
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: ModelServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{server.url}/health", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        output = server.log.read_text(encoding="utf-8", errors="replace")
        assert process.poll() is None, f"{server.name} ended at its start:\n{output}"
        assert time.monotonic() < deadline, f"{server.name} does not answer:\n{output}"
        time.sleep(0.05)
