"""The databases a catalog is tested on: SQLite, and a private PostgreSQL server where one is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def _user() -> str | None:
    """Whom to run the server as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextmanager
def postgres() -> Iterator[str]:
    """A server of its own on a socket in a temporary folder; yields SQLAlchemy's address of its first database."""
    programs, user = _programs(), _user()
    if programs is None:
        pytest.skip("PostgreSQL is not installed on this machine")
    folder = Path(tempfile.mkdtemp(prefix="rebus-pg-"))
    if user:
        shutil.chown(folder, user)

    def run(*command: str | Path) -> None:
        done = subprocess.run(command, user=user, capture_output=True, text=True, cwd=folder, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    data, options = folder / "data", f"-k {folder} -c listen_addresses= -c fsync=off"
    try:
        run(programs / "initdb", "-D", data, "-U", "rebus", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        log = folder / "log"  # without one, the server would keep our end of its output open
        run(programs / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://rebus@/postgres?host={folder}"
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
