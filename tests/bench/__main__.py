"""`make bench`: measure the bot against its floors on this machine, and print one table.

`make bench BENCH=look,kill` measures only these rows. The result of all of them is kept in
docs/bench.json, and docs/scale.md is given its table.
"""

import asyncio
import os
import platform
import sys
from pathlib import Path
from typing import Any

from tests.bench import rows, samples, scale, table
from tests.bench.stage import RUN_ONLY, stage
from tests.servers import MAJOR

ROWS = {**rows.ROWS, **samples.ROWS, **scale.ROWS}


async def measured(names: list[str]) -> list[table.Line]:
    """The lines of these rows; each is told as soon as it is there."""
    lines: list[table.Line] = []
    async with stage() as here:
        for name in names:
            async for line in ROWS[name](here):
                sys.stderr.write(table.markdown([line]).splitlines()[-1] + "\n")
                lines.append(line)
    return lines


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in cpus if "model name" in line), "")
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "load before": round(os.getloadavg()[0], 2),
        "Python": platform.python_version(),
        "PostgreSQL": MAJOR,
        "packages": "run.txt" if RUN_ONLY.exists() else "dev.txt",
    }


def main() -> int:
    """Measure what `BENCH` names, or all."""
    names = [name for name in os.environ.get("BENCH", "").split(",") if name] or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; there are {', '.join(ROWS)}\n")
        return 2
    found = machine()
    lines = asyncio.run(measured(names))
    sys.stdout.write(f"{found}\n\n{table.markdown(lines)}")
    if names == list(ROWS):
        table.write(lines, found)
        table.quote(found, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
