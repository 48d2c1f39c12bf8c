"""`sluice worker` with a second listener: a unix socket that serves its internal status.

A worker on TCP has no public status route; a test must know when a slot leaks.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from aiohttp import web

from proxy.__main__ import main
from proxy.edge import app, worker

STATUS_SOCKET = "STATUS_SOCKET"

_create_runner = app.create_runner


def _create_observed_runner(*args: Any, **kwargs: Any) -> web.AppRunner:
    runner = _create_runner(*args, **kwargs)
    set_up = runner.setup

    async def set_up_with_a_second_listener() -> None:
        await set_up()
        await web.UnixSite(runner, os.environ[STATUS_SOCKET]).start()

    runner.setup = set_up_with_a_second_listener  # type: ignore[method-assign] # of this one runner
    return runner


if __name__ == "__main__":
    worker.create_runner = _create_observed_runner  # type: ignore[attr-defined] # it imports it
    sys.exit(main())
