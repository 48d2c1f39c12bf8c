"""`python -m tests.fuzz`: every target in turn, from seeds made here, for some seconds in all."""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import NAMES, recorded, target

FOUND = Path(__file__).parents[2] / ".fuzz"
"""Where an input that breaks a promise is kept; git does not look there."""
LONGEST = 1024
"""The longest input in bytes."""
_LIMITS = (f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1")
_GRACE_SECONDS = 60.0
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def main() -> None:
    """Exit with 1 if anything was found, with 2 if there is nothing to fuzz with."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("targets", nargs="*", choices=[[], *NAMES], help="default: all")
    given = parser.parse_args()
    if find_spec("atheris") is None:
        here = f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
        print(f"fuzz: no atheris for {here}; it comes for Python 3.11 to 3.14 on x86-64 Linux")
        sys.exit(2)
    names = given.targets or NAMES
    FOUND.mkdir(exist_ok=True)
    clean = [run(name, max(1, given.seconds // len(names))) for name in names]
    sys.exit(0 if all(clean) else 1)


def run(name: str, seconds: int) -> bool:
    """Fuzz one target and say in one line what became of it; whether nothing was found."""
    before = set(FOUND.iterdir())
    with tempfile.TemporaryDirectory(prefix="sluice-fuzz-") as folder:
        begin = Path(folder)
        _write(name, begin)
        command = [sys.executable, "-m", "tests.fuzz.drive", name, str(begin / "corpus"), *_LIMITS]
        command += [f"-max_total_time={seconds}", f"-artifact_prefix={FOUND / name}-"]
        command += [f"-dict={begin / 'words'}"]
        ran = subprocess.run(
            command,
            check=False,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + _GRACE_SECONDS,
        )
    if ran.returncode == 0:
        done = _DONE.search(ran.stdout)
        print(f"fuzz: {name}: {done[1] if done else 'no'} inputs, clean", flush=True)
        return True
    print("\n".join(ran.stdout.splitlines()[-40:]))
    for path in sorted(set(FOUND.iterdir()) - before):
        print(f"fuzz: {name}: the input lies in {path}; again: ", end="")
        print(f"{sys.executable} -m tests.fuzz.drive {name} {path}", flush=True)
    print(f"fuzz: {name}: found something, or could not run; see above", flush=True)
    return False


def _write(name: str, folder: Path) -> None:
    """Lay out the seeds, and the words as libFuzzer wants them."""
    (folder / "corpus").mkdir()
    for number, seed in enumerate(target(name).seeds(more=recorded(LONGEST - 16))):
        (folder / "corpus" / str(number)).write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in target(name).dictionary)
    (folder / "words").write_text("".join(f'"{word}"\n' for word in words))


if __name__ == "__main__":
    main()
