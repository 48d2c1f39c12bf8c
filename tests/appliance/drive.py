"""`sluice run` with stub workers, and with shorter waits."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from proxy import config
from proxy.appliance import supervisor
from proxy.appliance.monitor import RestartPolicy
from proxy.appliance.nginx_program import NginxProgram
from proxy.appliance.processes import Programs

STUB = Path(__file__).with_name("stub_worker.py")


def programs(nginx: NginxProgram) -> Programs:
    """Stubs as workers, the rest as it is."""
    policy = RestartPolicy(**json.loads(os.environ.get("RESTART_POLICY", "{}")))
    return Programs(nginx, worker=stub, restart_policy=policy)


def stub(socket: Path, index: int, workers: int) -> list[str]:
    """The command of a stub."""
    return [sys.executable, str(STUB), str(socket), str(index), str(workers)]


if __name__ == "__main__":
    sys.exit(supervisor.run(config.load(), programs))
