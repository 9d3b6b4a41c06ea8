"""Seven thousand real photographs with captions, where the development data lies beside the checkout."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Caption, Catalog, Item
from engine.status import failures
from indexer.library import index_folders
from tests.conftest import config_at, silent

FLICKR8K = Path(__file__).parent.parent.parent / "shared" / "data" / "flickr8k"


@pytest.mark.shared
@pytest.mark.skipif(not FLICKR8K.is_dir(), reason="no ../shared/data/flickr8k")
def test_every_photo_and_caption_is_recorded_with_its_split(tmp_path: Path) -> None:
    config = config_at(tmp_path / "home")
    index_folders(config, [FLICKR8K], silent)
    catalog = Catalog(config)
    with catalog.session() as session:
        splits = dict(session.execute(sa.select(Item.split, sa.func.count()).where(Item.modality == "image")
                                      .group_by(Item.split)).tuples().all())  # fmt: skip
        captions = session.scalar(sa.select(sa.func.count()).select_from(Caption).where(Caption.lang == "en"))
    # 35,000 captions, of which nine repeat another one of the same picture.
    assert splits == {"train": 6000, "val": 1000} and captions == 34_991 and failures(catalog) == []
