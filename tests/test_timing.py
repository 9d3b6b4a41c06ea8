"""Turns: few threads work at once, and nobody waits for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from engine.timing import Trace, Turns

AT_ONCE, PATIENCE_S = 2, 0.2


def test_who_waits_long_goes_on_without_a_turn_and_gives_none_back() -> None:
    turns = Turns(AT_ONCE, PATIENCE_S)
    for _ in range(2):
        with ExitStack() as stack:
            for left in (1, 0):
                stack.enter_context(turns.taken(Trace()))
                assert turns._free._value == left
            began = time.monotonic()
            stack.enter_context(turns.taken(Trace()))
            assert time.monotonic() - began >= PATIENCE_S
        assert turns._free._value == AT_ONCE


def test_who_had_to_wait_is_told_how_long() -> None:
    turns, first, second = Turns(1, PATIENCE_S), Trace(), Trace()
    with turns.taken(first), turns.taken(second):
        pass
    assert not first.took and second.took["wait"] >= PATIENCE_S * 1000 * 0.99


def test_a_turn_is_given_back_by_who_fails() -> None:
    turns = Turns(AT_ONCE, 60)
    there, most = threading.BoundedSemaphore(AT_ONCE), 40

    def fail() -> None:
        with turns.taken(Trace()):
            assert there.acquire(blocking=False), "too many at once"
            there.release()
            raise KeyError

    with ThreadPoolExecutor(8) as threads:
        failed = [threads.submit(fail) for _ in range(most)]
        assert all(isinstance(each.exception(30), KeyError) for each in failed)
