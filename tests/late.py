"""Decoder processes that are with slow files: waiting until one is, and its time being up without waiting for that."""

import os
from collections.abc import Iterable

from engine.decoding.process import DecoderProcess


def wait_until_asked(*processes: DecoderProcess) -> DecoderProcess:
    """One of them that has been sent a file and has not answered."""
    while True:
        for process in processes:
            with process._guard:
                if process._deadline is not None and process.ready:
                    return process
        os.sched_yield()


def time_is_up(processes: Iterable[DecoderProcess]) -> None:
    """Those that are with a file are late with it now, however many seconds they were given."""
    for process in processes:
        with process._guard:
            if process._deadline is not None and process.ready:
                process._deadline = 0.0
