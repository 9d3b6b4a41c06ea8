"""The one form of every benchmark's result, and what it was measured on."""

import json
import os
import platform
import subprocess
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The processor, how many cores, the memory, and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = {name: metadata.version(name) for name in ("torch", "pillow", "sqlalchemy")}
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "python": platform.python_version(),
        **versions,
    }


def revision() -> str:
    """The commit that is checked out."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()


def stamp() -> dict[str, str]:
    """When a row was measured, for a result whose rows are not all of one run."""
    return {"revision": revision(), "day": date.today().isoformat()}


def last(bench: str) -> list[dict[str, Any]]:
    """The rows of the last result; none when there is none."""
    path = RESULTS / f"{bench}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else []


def write(bench: str, rows: list[dict[str, Any]], headline: dict[str, float], **more: Any) -> Path:
    """Write `results/BENCH.json`. more: what follows from the rows."""
    result = {
        "bench": bench,
        "revision": revision(),
        "machine": machine(),
        "rows": rows,
        "headline": headline,
        **more,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{bench}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path
