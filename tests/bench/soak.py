"""Twenty minutes of searches and turned pages, while items come, go, and versions are published. `make soak`.

Ends with an error if any request failed, or a hit was repeated on a later page.
"""

import argparse
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from tests.bench.drawn import DrawnLibrary
from tests.bench.loading import load, served
from tests.bench.report import write
from tests.bench.support import library, say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--keep", action="store_true", help="print alone, and leave the committed result as it is")
    arguments = parser.parse_args()
    with library(Path(tempfile.gettempdir())) as config:
        drawn = DrawnLibrary(config)
        drawn.add(arguments.items)
        drawn.publish()
        over, done = threading.Event(), Counter[str]()
        writer = threading.Thread(target=_change, args=(drawn, over, done))
        with served(config) as address:
            writer.start()
            figures = load(address, arguments.clients, arguments.minutes * 60, "mixed")
            over.set()
            writer.join()
    row = {"minutes": arguments.minutes, "items": arguments.items, "clients": arguments.clients, **figures, **done}
    say(str(row))
    if not arguments.keep:
        write(
            "soak", [row], {"errors": figures["errors"], "requests": figures["requests"], "versions": done["published"]}
        )
    sys.exit(1 if figures["errors"] or not figures["requests"] or not done["published"] else 0)


def _change(drawn: DrawnLibrary, over: threading.Event, done: Counter[str]) -> None:
    """Add some, remove some, publish now and then, as fast as once a second."""
    while not over.wait(1.0):
        drawn.add(50)
        drawn.remove(drawn.present(50))
        done.update(added=50, removed=50)
        if done["added"] % 500 == 0:
            drawn.publish()
            done["published"] += 1


if __name__ == "__main__":
    main()
