"""When repeated kills mean that something has to be given up."""

from __future__ import annotations

from proxy.appliance.monitor import Run
from proxy.appliance.repeated_kills import RepeatedKills

KILLED = Run(came_up=True, status=137, seconds=3.0, stderr_tail="")


class Kernel:
    """A count of kills for want of memory, and a clock."""

    def __init__(self) -> None:
        self.count: int | None = 5
        self.now = 0.0

    def watch(self) -> RepeatedKills:
        """What is tested."""
        kills = RepeatedKills(lambda: self.count, lambda: self.now)
        kills.look()
        return kills


def test_two_kills_for_want_of_memory_are_enough() -> None:
    """Whichever workers they met; within a minute."""
    kernel = Kernel()
    kills, verdicts = kernel.watch(), []
    for now, count, worker in ((0, 6, 0), (61, 7, 1), (70, 8, 0), (71, 9, 0)):
        kernel.now, kernel.count = now, count
        kills.look()
        verdicts.append(kills.died(worker, Run(True, 137, 50.0, "")))
    assert verdicts == [False, False, True, False]


def test_without_the_kernels_word_three_short_lives_of_one_worker_are() -> None:
    """Kills that go round, or lives that last, are not."""
    kernel = Kernel()
    kernel.count = None
    kills = kernel.watch()
    assert [kills.died(0, KILLED) for _ in range(4)] == [False, False, True, False]
    assert not any(kills.died(1, Run(True, 137, 11.0, "")) for _ in range(9))


def test_other_deaths_end_the_row() -> None:
    """A crash, and a kill that came from the supervisor, who found it frozen."""
    kills = Kernel().watch()
    ours = Run(True, 137, 3.0, "", ended_by_us=True)
    for other in (Run(True, 1, 3.0, ""), ours):
        assert not any(kills.died(0, run) for run in (KILLED, KILLED, other, KILLED, KILLED))
        kills.died(0, other)
