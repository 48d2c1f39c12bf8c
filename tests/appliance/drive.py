"""`sluice run` with stub workers, and with less patience."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from proxy import config
from proxy.appliance import supervisor
from proxy.appliance.crew import Programs
from proxy.appliance.keeper import Patience
from proxy.appliance.nginx_program import NginxProgram

STUB = Path(__file__).with_name("stub_worker.py")


def programs(nginx: NginxProgram) -> Programs:
    """Stubs as workers, the rest as it is."""
    patience = Patience(**json.loads(os.environ.get("PATIENCE", "{}")))
    return Programs(nginx, worker=stub, patience=patience)


def stub(socket: Path, index: int, workers: int) -> list[str]:
    """The command of a stub."""
    return [sys.executable, str(STUB), str(socket), str(index), str(workers)]


if __name__ == "__main__":
    sys.exit(supervisor.run(config.load(), programs))
