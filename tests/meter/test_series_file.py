from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.mmap_dict import MmapedDict

from proxy.meter.multiprocess import collect
from proxy.meter.series_file import FIRST_BYTES, Files, SeriesFile, allocate, value_class

ROOT = Path(__file__).parents[2]


class Clock:
    """Time that stands until it is told to go on."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@contextmanager
def small_disk(where: Path, size: str) -> Iterator[Path]:
    """A file system of its own that holds so little."""
    if os.geteuid() != 0 or not Path("/bin/mount").exists():
        pytest.skip("only root can make a small disk")
    where.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(where)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        yield where
    finally:
        subprocess.run(["/bin/umount", "-l", str(where)], check=True)


def counted(path: Path) -> dict[str, float]:
    """What a file says, by key."""
    entries = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    return {key: value for key, value, *_ in entries}


def test_a_file_has_its_place_on_the_disk_before_it_is_mapped(tmp_path: Path) -> None:
    """No page is left to be found later, when there may be none; and it is nobody else's."""
    file = SeriesFile(str(tmp_path / "counter_w.db"))
    for index in range(2000):
        file.write_value(f"a series with a name of some length, {index}", 1.0, 0.0)  # type: ignore[no-untyped-call]
    file.close()  # type: ignore[no-untyped-call]
    state = (tmp_path / "counter_w.db").stat()
    assert state.st_size > FIRST_BYTES
    assert state.st_blocks * 512 >= state.st_size
    assert state.st_mode & 0o077 == 0
    assert len(counted(tmp_path / "counter_w.db")) == 2000


def test_a_full_disk_refuses_before_anything_is_mapped(tmp_path: Path) -> None:
    """The error is one that can be caught, and the file stays as it was."""
    with small_disk(tmp_path / "disk", "128k") as disk:
        allocate(disk / "a", 64 * 1024)
        with pytest.raises(OSError, match="No space left"):
            allocate(disk / "a", 1024 * 1024)
        assert (disk / "a").stat().st_size == 64 * 1024


def test_what_finds_no_room_is_counted_in_memory_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing raises, the missing series is counted, and nothing is lost once there is room."""
    clock, refusals = Clock(), []
    with small_disk(tmp_path / "disk", "128k") as disk:
        filler = disk / "filler"
        allocate(filler, 128 * 1024)
        files = Files(str(disk), "worker-0", clock)
        files.refused = lambda: refusals.append(1)
        monkeypatch.setattr(values, "ValueClass", value_class(files))
        made = Counter("made", "Things.", ["kind"], registry=CollectorRegistry())
        made.labels("a").inc(3)
        assert refusals == [1]
        assert (disk / "counter_worker-0.db").stat().st_size == 0
        assert collect(str(disk)) == b""
        filler.unlink()
        made.labels("a").inc(2)  # too early: a full disk is not asked with every request
        clock.time = 2.0
        made.labels("a").inc(1)
        assert list(counted(disk / "counter_worker-0.db").values()) == [6.0]
        files.close()


def test_a_histogram_is_kept_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only some of its buckets fit, none is in the file; all are once there is room."""
    clock, refusals = Clock(), []
    with small_disk(tmp_path / "disk", "128k") as disk:
        files = Files(str(disk), "w", clock)
        files.refused = lambda: refusals.append(1)
        monkeypatch.setattr(values, "ValueClass", value_class(files))
        waits = Histogram("waits", "Waits.", ["of"], registry=CollectorRegistry())
        waits.labels("first").observe(1)
        path = disk / "histogram_w.db"
        allocate(disk / "filler", 64 * 1024)
        number = 0
        while not refusals:
            number += 1
            waits.labels(f"m-{number}").observe(1)
        mine = f'"of": "m-{number}"'
        assert not [key for key in counted(path) if mine in key]
        waits.labels(f"m-{number}").observe(100)
        assert not [key for key in counted(path) if mine in key]
        (disk / "filler").unlink()
        clock.time = 2.0
        waits.labels(f"m-{number}").observe(2)
        kept = {key: value for key, value in counted(path).items() if mine in key}
        first = [key for key in counted(path) if '"of": "first"' in key]
        assert len(kept) == len(first)
        assert sum(value for key, value in kept.items() if "bucket" in key) == 3
        assert [value for key, value in kept.items() if "waits_sum" in key] == [103.0]
        files.close()


def test_a_next_life_goes_on_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file holds is where its series go on."""
    for expected in (2.0, 4.0):
        files = Files(str(tmp_path), "w")
        monkeypatch.setattr(values, "ValueClass", value_class(files))
        made = Counter("made", "Things.", registry=CollectorRegistry())
        made.inc(2)
        files.close()
        assert list(counted(tmp_path / "counter_w.db").values()) == [expected]


def test_a_worker_outlives_a_full_disk(tmp_path: Path) -> None:
    """Sixty models' series do not fit: no SIGBUS, and what has its place is still counted."""
    with small_disk(tmp_path / "disk", "256k") as disk:
        program = (
            "import sys; from proxy.meter.metrics import Metrics;"
            "from proxy.meter.multiprocess import worker_registry, collect;"
            "from tests.meter.requests_made import answered, counted;"
            "m = Metrics(worker_registry(sys.argv[1], 0), max_models=100);"
            "[m.record(answered(model=f'm-{i}'), counted(), 0.1) for i in range(60)];"
            "text = collect(sys.argv[1]).decode();"
            "print([l for l in text.splitlines() if l.startswith('sluice_metric_series')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(disk)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "sluice_metric_series_without_room_total" in done.stdout
    assert float(done.stdout.split()[-1].strip("']\n")) > 0
    assert done.stdout.count("metrics_without_room") == 1
