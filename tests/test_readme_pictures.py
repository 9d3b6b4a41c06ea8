"""The pictures of the README: they are those that `make pictures` makes, and are small."""

import re
from pathlib import Path

from PIL import Image

from tests.browser.pictures import LARGEST, PICTURES, PLACE, SIZE

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_both_pictures() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(docs/([^)]+)\)", README)
    assert sorted(shown) == sorted(PICTURES) == sorted(path.name for path in PLACE.glob("*.webp"))
    for name in shown:
        with Image.open(PLACE / name) as image:
            assert image.format == "WEBP" and image.size == SIZE
        assert (PLACE / name).stat().st_size < LARGEST
