"""The one form of every benchmark's result, and what it was measured on."""

import json
import os
import platform
import subprocess
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


def write(bench: str, rows: list[dict[str, Any]], headline: dict[str, float]) -> Path:
    """Write `results/BENCH.json`, and print the headline."""
    here = Path(__file__).parent
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True)
    result = {
        "bench": bench,
        "revision": revision.stdout.strip(),
        "machine": machine(),
        "rows": rows,
        "headline": headline,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{bench}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path
