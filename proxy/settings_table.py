"""Generates the table in `docs/settings.md` from the settings' definitions.

`python -m proxy.settings_table` (or `make docs`) updates it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from proxy.generated_docs import update
from proxy.resume_settings import ResumeSettings
from proxy.setting_errors import PREFIX
from proxy.settings import Settings
from proxy.shared_settings import RELOADED

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

BEGIN = "<!-- settings: made by `python -m proxy.settings_table`, not by hand -->"
END = "<!-- settings: end -->"


def table() -> str:
    """Return the settings as a Markdown table, in the order of their definition."""
    rows = ["| name | default | reload | meaning |", "|---|---|---|---|"]
    last = ResumeSettings.model_fields
    fields = sorted(Settings.model_fields.items(), key=lambda item: item[0] in last)
    for name, field in fields:
        reload = "SIGHUP" if name in RELOADED else "-"
        cells = (f"`{PREFIX}{name.upper()}`", _default(field), reload, field.description)
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def main(path: str) -> int:
    """Update the table in a file."""
    update(path, BEGIN, END, table())
    return 0


def _default(field: FieldInfo) -> str:
    """Return the default as it would be set; a dash if there is none, or if it is computed."""
    value = None if field.default_factory is not None else field.default
    if value is None or value in ((), {}):
        return "-"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ("docs/settings.md",)))
