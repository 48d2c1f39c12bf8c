"""The plot: one SVG, drawn by hand so that it needs no library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from bench.contestants.everybody import EVERYBODY
from bench.measure.figures import Summary
from bench.report.figures import FIGURES, Figure, summary

_PANELS = ("cpu50", "cpu200", "cpu10", "delay99", "kib")
_WIDTH, _LABELS, _ROW, _HEAD = 760, 190, 22, 46
_OWN, _OTHER = "#0b6e4f", "#5b6770"


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis over whole decades, from pixels to pixels."""

    lowest: float
    highest: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Axis:
        """An axis that holds all these positive values."""
        lowest = 10 ** math.floor(math.log10(min(values)))
        highest = 10 ** math.ceil(math.log10(max(values) * 1.01))
        return cls(lowest, highest)

    def place(self, value: float) -> float:
        """Where a value stands, in pixels."""
        share = math.log(value / self.lowest) / math.log(self.highest / self.lowest)
        return _LABELS + share * (_WIDTH - _LABELS - 90)

    def ticks(self) -> list[float]:
        """The decades, and the halves of few."""
        decades = round(math.log10(self.highest / self.lowest))
        steps = (1, 2, 5) if decades <= 2 else (1,)
        ticks = [self.lowest * 10**decade * step for decade in range(decades) for step in steps]
        return [*ticks, self.highest]


def plot(results: Mapping[str, Any]) -> str:
    """All panels below one another; empty ones are left out."""
    parts: list[str] = []
    top = 0.0
    for key in _PANELS:
        rows = _rows(FIGURES[key], results)
        if rows:
            parts.append(_panel(FIGURES[key], rows, top))
            top += _HEAD + _ROW * len(rows) + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top:.0f}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{"".join(parts)}</svg>\n'
    )


def _rows(figure: Figure, results: Mapping[str, Any]) -> list[tuple[str, bool, Summary]]:
    rows = []
    for contestant in EVERYBODY:
        found = summary(figure, contestant.name, results["runs"])
        if found is not None and found.lowest > 0:
            rows.append((contestant.title, contestant.title.startswith("Sluice"), found))
    return sorted(rows, key=lambda row: row[2].median)


def _panel(figure: Figure, rows: list[tuple[str, bool, Summary]], top: float) -> str:
    axis = Axis.over([value for _, _, found in rows for value in (found.lowest, found.highest)])
    unit = {"ratio": "multiple of bare nginx", "difference": "over bare nginx"}.get(figure.form, "")
    title = ", ".join(part for part in (figure.title, unit, figure.unit) if part)
    bottom = top + _HEAD + _ROW * len(rows)
    parts = [f'<text x="8" y="{top + 22:.0f}" font-size="14">{escape(title)}</text>\n']
    for tick in axis.ticks():
        x = axis.place(tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + _HEAD - 8:.0f}" y2="{bottom:.0f}" '
            f'stroke="#dde1e4"/><text x="{x:.1f}" y="{bottom + 14:.0f}" fill="{_OTHER}" '
            f'text-anchor="middle">{tick:g}</text>\n'
        )
    for index, (label, own, found) in enumerate(rows):
        y = top + _HEAD + _ROW * index + 8
        parts.append(_mark(label, _OWN if own else _OTHER, found, axis, y, figure.digits))
    return "".join(parts)


def _mark(label: str, colour: str, found: Summary, axis: Axis, y: float, digits: int) -> str:
    low, high, middle = (axis.place(v) for v in (found.lowest, found.highest, found.median))
    return (
        f'<text x="{_LABELS - 12}" y="{y + 4:.0f}" text-anchor="end" fill="{colour}">'
        f"{escape(label)}</text>"
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.0f}" y2="{y:.0f}" stroke="{colour}" '
        f'stroke-width="3" stroke-opacity="0.35"/>'
        f'<circle cx="{middle:.1f}" cy="{y:.0f}" r="4.5" fill="{colour}"/>'
        f'<text x="{high + 9:.1f}" y="{y + 4:.0f}" fill="{colour}">{found.median:.{digits}f}'
        f"</text>\n"
    )
