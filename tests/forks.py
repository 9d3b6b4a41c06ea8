"""Work in forked children that may be killed: what is tested by killing forks before torch has any thread."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a fork, as JSON holds it; None when it was killed. Raises RuntimeError when it failed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return None
    if not said:
        raise RuntimeError("a run failed after an earlier one was killed")
    return json.loads(said)
