"""A score that is told is a cosine: rounding of what is stored brings none above 1."""

from pathlib import Path

import numpy as np

from engine.search import Searcher
from engine.types import Query, Term
from tests.served import DIM, Served


def test_no_cosine_above_one_is_told(tmp_path: Path) -> None:
    served = Served(tmp_path)
    row = np.full(DIM, 1.0005 / np.sqrt(DIM), np.float32)
    [item, other, *_] = served.add(8, np.vstack([row, -row, served.drawn(6)]))
    served.publish()
    searcher = Searcher(served.config, served.catalog)
    hits = searcher.search(Query((Term(item=item),), limit=8, explain=True)).hits
    assert hits[0].order > 1, "as it is stored"
    told = {hit.id: hit.score for hit in hits}
    assert (told[item], told[other]) == (1.0, -1.0)
    for hit in hits:
        assert hit.explanation is not None and hit.score is not None
        [part] = hit.explanation.parts
        assert abs(part.cosine) <= 1 and abs(part.share - hit.score) < 1e-5
    served.close()
