from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import proxy.appliance.pdeathsig
from tests.appliance.running import alive, wait_until

PDEATHSIG = proxy.appliance.pdeathsig.__file__
PARENT = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), sys.argv[2], "0",
     "/bin/sh", "-c", "trap 'echo told; exit' TERM; echo up; while :; do sleep 0.01; done"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_parent_is_killed_the_program_is_told(number: signal.Signals) -> None:
    """However the parent goes, the program gets its signal: none can be caught, or one that can."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, PDEATHSIG, str(int(number))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout as out:
        child = int(out.readline())
        assert out.readline() == "up\n"
        parent.kill()
        parent.wait()
        wait_until(lambda: not alive(child), "the end of the child")
        assert out.read() == ("told\n" if number is signal.SIGTERM else "")


def test_a_parent_that_is_gone_already_starts_nothing(tmp_path: Path) -> None:
    """If the parent died in between, the program does not run at all."""
    made = tmp_path / "made"
    somebody_else = os.getppid()
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            PDEATHSIG,
            str(somebody_else),
            "9",
            "0",
            "/usr/bin/touch",
            str(made),
        ],
        check=False,
    )
    assert done.returncode == 0
    assert not made.exists()


def test_a_program_that_cannot_run_says_so() -> None:
    """The reason is on stderr, the end of which the supervisor reports."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", PDEATHSIG, str(os.getpid()), "9", "0", "/no/such/program"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No such file" in done.stderr


IN_A_CONTAINER = ("setpriv", "--bounding-set", "-sys_admin")


@pytest.mark.parametrize("rights", [(), IN_A_CONTAINER], ids=["all", "a container's"])
def test_a_deaf_program_does_not_hear_sigterm(tmp_path: Path, rights: tuple[str, ...]) -> None:
    """Even one that asks for it, as nginx does; other signals reach it.

    Root in a container may do less than elsewhere, and this all the same.
    """
    if rights and (os.geteuid() != 0 or shutil.which(rights[0]) is None):
        pytest.skip("only root can give rights up, with util-linux")
    up = tmp_path / "up"
    script = f"trap 'exit 5' TERM; trap 'exit 6' INT; touch {up}; while :; do sleep 0.01; done"
    command = [sys.executable, "-I", "-S", PDEATHSIG, str(os.getpid()), "9", "1"]
    with subprocess.Popen([*rights, *command, "/bin/bash", "-c", script]) as program:
        wait_until(up.exists, "its start")
        program.send_signal(signal.SIGTERM)
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 6
