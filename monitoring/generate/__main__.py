"""Write every dashboard to `monitoring/grafana/dashboards/`."""

from __future__ import annotations

import json
from pathlib import Path

from monitoring.generate import gateway, single

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"


def files() -> dict[str, str]:
    """The text of each dashboard by the name of its file."""
    made = {"sluice.json": gateway.dashboard(), "sluice-model.json": single.dashboard()}
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in made.items()
    }


def main() -> None:
    """Write them."""
    for name, text in files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
