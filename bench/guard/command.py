"""`python -m bench guard`: instructions per token, against the committed figure.

Counted by callgrind for two numbers of tokens; the difference leaves out the start of Python and
whatever happens once per stream. The count repeats to one part in ten thousand, on a busy machine
too, where a time would say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.contestants.contestant import BENCH

FIGURES = BENCH / "guard" / "figures.json"
"""Instructions per token by Python version: another interpreter, another figure."""

TOLERANCE_PERCENT = 10
_FEW, _MANY = 200, 5200
_SECONDS = 120
# Both runs compile what has no bytecode, or the first alone would, and its tokens would pay for it.
_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
_COLLECTED = re.compile(rb"Collected : (\d+)")


def add_guard(parser: argparse.ArgumentParser) -> None:
    """Declares its options."""
    parser.add_argument("--record", action="store_true", help="make what is measured the figure")
    parser.add_argument("--figures", type=Path, default=FIGURES)


def run_guard(args: argparse.Namespace) -> None:
    """Measures and compares.

    Raises SystemExit when the figure is exceeded or cannot be measured.
    """
    measured = measure()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    figures: dict[str, int] = {}
    if args.figures.exists():
        figures = json.loads(args.figures.read_text(encoding="utf-8"))
    if args.record:
        figures[version] = measured
        args.figures.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", "utf-8")
        print(f"{measured:,} instructions per token on Python {version}, recorded")
        return
    passed, sentence = compare(measured, figures.get(version), version)
    print(sentence)
    if not passed:
        raise SystemExit(1)


def compare(measured: int, committed: int | None, version: str) -> tuple[bool, str]:
    """Whether the measured cost may stay, and the sentence that says so."""
    sentence = f"{measured:,} instructions per token on Python {version}"
    if committed is None:
        return True, f"{sentence}; there is no figure to hold it to: python -m bench guard --record"
    change = measured / committed - 1
    sentence += f", {change:+.1%} against the committed {committed:,}"
    if measured * 100 > committed * (100 + TOLERANCE_PERCENT):
        return False, f"{sentence}: a token has become too expensive (limit +{TOLERANCE_PERCENT} %)"
    if measured * 100 < committed * (100 - TOLERANCE_PERCENT):
        return True, f"{sentence}: cheaper; commit the new figure: python -m bench guard --record"
    return True, sentence


def measure() -> int:
    """Instructions per token.

    Raises SystemExit where callgrind is missing or fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("valgrind is not installed: apt-get install valgrind")
    return round((_count(valgrind, _MANY) - _count(valgrind, _FEW)) / (_MANY - _FEW))


def _count(valgrind: str, tokens: int) -> int:
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [
                valgrind,
                "--tool=callgrind",
                f"--callgrind-out-file={place}/out",
                sys.executable,
                "-m",
                "bench.guard.hot_path",
                str(tokens),
            ],
            cwd=BENCH.parent,
            env=os.environ | _ENVIRONMENT,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    match = _COLLECTED.search(done.stderr)
    if done.returncode or match is None:
        raise SystemExit(f"callgrind failed: {done.stderr.decode(errors='replace')[-400:]}")
    return int(match[1])
