from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.appliance import nginx
from proxy.appliance.nginx_program import NginxProgram
from proxy.appliance.run_directory import RunDirectory

if TYPE_CHECKING:
    import pytest

PROGRAM = NginxProgram("/bin/echo", (1, 26))
RUN = RunDirectory(Path("/run/x"), None)


def test_its_secrets_stay_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx, which reads unchecked bytes, does not have the upstream's key in its environment."""
    monkeypatch.setenv("SLUICE_UPSTREAM_API_KEY", "sk-secret")
    environment = nginx.process_spec(PROGRAM, RUN).environment
    assert environment is not None
    assert "sk-secret" not in environment.values()


def test_its_master_is_told_to_end_its_processes() -> None:
    """Without the supervisor nginx gets SIGINT; killed outright it would leave its processes."""
    assert nginx.process_spec(PROGRAM, RUN).death_signal is signal.SIGINT


def test_a_configuration_that_is_refused_is_explained(tmp_path: Path) -> None:
    """The complaint is nginx's own; a program that is content has none."""
    grumpy = tmp_path / "nginx"
    grumpy.write_text("#!/bin/sh\necho 'no such directive' >&2\nexit 1\n")
    grumpy.chmod(0o755)
    assert nginx.complaint(NginxProgram(str(grumpy), (1, 26)), RUN) == "no such directive"
    assert nginx.complaint(PROGRAM, RUN) is None
