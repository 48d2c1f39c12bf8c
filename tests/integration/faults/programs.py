"""Client programs in processes of their own, so that they do not delay the test's event loop."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


async def program(module: str, *arguments: object) -> asyncio.subprocess.Process:
    """Start a module of the project as a program."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
    )


async def output_of(running: asyncio.subprocess.Process) -> Any:
    """Wait until it ends, which must be with status 0; return the JSON that it printed."""
    output, _ = await running.communicate()
    assert running.returncode == 0
    return json.loads(output)
