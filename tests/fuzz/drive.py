"""`python -m tests.fuzz.drive TARGET [libFuzzer's arguments]`: one target under atheris.

Given a file instead of a folder, libFuzzer checks that one input and stops.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main(name: str, *arguments: str) -> None:
    """Fuzz until told to stop; an exception of the check ends the process with its status."""
    # It has no types, and is installed only where `make fuzz` has been asked for.
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["proxy"]):
        target = import_module(f"tests.fuzz.{name}").TARGET
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
