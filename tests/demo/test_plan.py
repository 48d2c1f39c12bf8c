from __future__ import annotations

from proxy.demo.plan import REALISTIC, Plan


def test_faults_are_asked_by_name() -> None:
    """A plan tells which faults are on and with which argument; absent ones count as 0."""
    plan = Plan(faults={"cut": 5, "hang-before": 0.5})
    assert plan.has("cut")
    assert plan.has("reset", "cut")
    assert not plan.has("reset")
    assert (plan.count("cut"), plan.count("reset")) == (5, 0)
    assert (plan.seconds("hang-before"), plan.seconds("hang-headers")) == (0.5, 0.0)


def test_healing_keeps_the_pace() -> None:
    """The healthy plan has the same pace and length and no fault."""
    plan = Plan(rate=7, tokens=3, faults={"cut": 5})
    assert plan.healthy() == Plan(rate=7, tokens=3)


def test_failing_adds_faults() -> None:
    """Faults are added to those that are there, dashes written as underscores."""
    plan = Plan(faults={"cut": 5}).failing(cut_clean=2)
    assert plan.faults == {"cut": 5, "cut-clean": 2}


def test_people_get_a_pace_they_can_watch() -> None:
    """The believable plan is paced, the bare one as fast as possible."""
    assert REALISTIC.rate > 0
    assert REALISTIC.ttft > 0
    assert (Plan().rate, Plan().ttft) == (0, 0)
