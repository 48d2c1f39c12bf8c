"""Client programs in processes of their own, so that their work holds nobody else up."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


async def program(module: str, *arguments: object) -> asyncio.subprocess.Process:
    """Start one; its module is named from the project's root."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
    )


async def told(running: asyncio.subprocess.Process) -> Any:
    """What it prints at its end, which must be a good one."""
    output, _ = await running.communicate()
    assert running.returncode == 0
    return json.loads(output)
