from __future__ import annotations

from bench.measure.machine import machine, machine_busy


def test_this_machine() -> None:
    """Everything that a reader needs beside a figure is known."""
    described = machine()
    assert all(described[key] for key in ("processor", "cores", "kernel", "system", "descriptors"))


def test_how_busy_it_is() -> None:
    """It is a number of cores."""
    assert 0 <= machine_busy(0.02) <= 1024
