"""Print the Slack app's manifest as JSON, as Slack's command line wants it: `make manifest`."""

# ruff: noqa: INP001 - a script
# ruff: noqa: T201 - its answer is what it prints

import json
from pathlib import Path

import yaml

MANIFEST = Path(__file__).parents[1] / "manifest.yml"

if __name__ == "__main__":
    print(json.dumps(yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))))
