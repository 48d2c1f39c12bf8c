from __future__ import annotations

from dataclasses import fields

from proxy.demo.faults import FAULTS
from proxy.demo.grammar_settings import SETTINGS
from proxy.demo.plan import Plan


def test_settings_and_plan_say_the_same() -> None:
    """Every field of the plan but its faults has one word, and every word a field."""
    named = {field.name for field in fields(Plan)} - {"faults"}
    assert sorted(setting.field for setting in SETTINGS.values()) == sorted(named)


def test_no_word_means_two_things() -> None:
    """A word is a setting or a fault."""
    assert SETTINGS.keys() & FAULTS.keys() == set()
