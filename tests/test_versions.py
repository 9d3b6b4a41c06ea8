"""Published versions: their files refused when anything about them changed, their formats, and going back to them."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command as alembic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.artifacts import FORMAT, MANIFEST
from engine.catalog import Catalog, IndexVersion
from engine.config import Config
from engine.database import catalog_url
from engine.errors import ArtifactError, NotFound
from engine.search import Searcher
from engine.turns import choose, roll_back
from engine.types import Modality, Query, Term
from engine.versions import Version
from indexer.care.doctor import examine, healthy
from indexer.history import listed, prune
from indexer.library import index_folders
from tests.conftest import silent
from tests.made_library import make_library, unit_rows
from tests.served import Served
from tests.test_catalog import alembic as alembic_config

FORMATS = Path(__file__).parent / "formats"
KINDS = {"": "sign-hash", "lists": "product", "product": "product", "additive": "additive", "scaled": "scaled-hash"}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Three versions of twelve, fifteen and eighteen items."""
    library = Served(tmp_path)
    library.add(9)
    for _ in range(3):
        library.add(3)
        library.publish()
    yield library
    library.close()


@pytest.fixture
def run(served: Served, command: Any) -> Run:
    """Runs a command on that library; its exit code, output and errors."""
    return lambda *words: command(served.config.home, *words)


def numbers(served: Served) -> list[int]:
    """The versions, the one to serve first."""
    return [row.id for row in served.catalog.versions()]


def folder(served: Served, number: int) -> Path:
    return served.config.home / "versions" / f"{number:06d}"


# --- files that are not whole ---


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_version_cut_short_or_altered_anywhere_is_passed_over(served: Served, data: st.DataObject) -> None:
    """Any file of it, at any byte; the one before it serves in its place, and all that came since is still found."""
    path = data.draw(st.sampled_from(sorted(folder(served, 3).iterdir())))
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        altered = bytearray(whole)
        altered[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(altered)
    searcher = Searcher(served.config, served.catalog)
    served.check(searcher)
    expected = 2
    if path.name == MANIFEST and searcher.version.id == 3:
        expected = 3  # what was altered or cut off is a blank at its end
        assert json.loads(path.read_bytes()) == json.loads(whole)
    assert searcher.version.id == expected
    path.write_bytes(whole)


def test_a_version_without_a_file_is_passed_over(served: Served) -> None:
    for path in sorted(folder(served, 3).iterdir()):
        data = path.read_bytes()
        path.unlink()
        searcher = Searcher(served.config, served.catalog)
        served.check(searcher)
        assert searcher.version.id == 2
        path.write_bytes(data)


def test_a_searcher_keeps_what_it_serves_when_the_next_version_is_damaged(served: Served) -> None:
    searcher = Searcher(served.config, served.catalog)
    before = searcher.version
    served.add(2)
    served.publish()
    (folder(served, 4) / "image.codes.npy").write_bytes(b"")
    served.check(searcher)  # what was added is in the delta of the one before
    assert searcher.version.id == before.id == 3
    assert not searcher.refresh()
    served.add(1)
    served.publish()
    served.check(searcher)
    assert searcher.version.id == 5


def test_when_no_version_is_whole_the_first_is_named_and_a_mended_one_serves(served: Served) -> None:
    codes = [folder(served, number) / "image.codes.npy" for number in (1, 2, 3)]
    whole = [path.read_bytes() for path in codes]
    for path in codes:
        path.write_bytes(b"")
    searcher = Searcher(served.config, served.catalog)
    for _ in range(2):
        with pytest.raises(ArtifactError, match="000003.*image.codes.npy"):
            searcher.refresh()
    codes[1].write_bytes(whole[1])
    served.check(searcher)
    assert searcher.version.id == 2


def test_a_version_whose_embeddings_were_cut_off_is_refused(served: Served) -> None:
    (shard,) = served.config.home.glob("embeddings/*/*.f16")
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) * 15 // 18])
    newest, before, _ = served.catalog.versions()
    with pytest.raises(ArtifactError, match="row 17 of .* holds 15"):
        Version.load(served.catalog, newest)
    assert len(Version.load(served.catalog, before).indexes[Modality.IMAGE]) == 15


# --- formats ---


def format_of(path: Path) -> int:
    """The number before the kind of codes, where there is one: those without are hash codes."""
    return int(path.name.partition("-")[0])


@pytest.mark.parametrize("kept", sorted(FORMATS.iterdir()), ids=lambda path: path.name)
def test_a_version_of_every_format_there_was_is_served(tmp_path: Path, kept: Path) -> None:
    """The folder in tests/formats is as the release of that format wrote it, of the library made here."""
    config = make_library(tmp_path, files=6)
    current = config.home / "versions" / "000001"
    shutil.rmtree(current)
    shutil.copytree(kept, current)
    assert json.loads((current / MANIFEST).read_text())["format"] == format_of(kept)
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    vectors = {i: unit_rows(1, i)[0] for i in (1, 4, 7, 10, 13, 16)}
    index = searcher.version.indexes[Modality.IMAGE]
    assert index.explained(6)["codes"] == KINDS[kept.name.partition("-")[2]]
    for asked, vector in vectors.items():
        assert sorted(index.recall(vector[None], 6, None)[0][0]) == sorted(vectors)
        hits = searcher.search(Query((Term(item=asked),), fold=False)).hits
        assert sorted(hit.id for hit in hits) == sorted(vectors) and hits[0].id == asked
        for hit in hits:
            assert hit.score == pytest.approx(float(vector @ vectors[hit.id]), abs=2e-3)
    catalog.engine.dispose()
    assert healthy(examine(config))


def test_the_format_that_is_written_is_among_those_that_are_tested(served: Served) -> None:
    assert json.loads((folder(served, 3) / MANIFEST).read_text())["format"] == FORMAT
    assert {format_of(path) for path in FORMATS.iterdir()} == set(range(1, FORMAT + 1))


def test_a_version_of_a_later_release_says_what_to_do(served: Served) -> None:
    for number in (1, 2, 3):
        path = folder(served, number) / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1}))
    with pytest.raises(ArtifactError, match=f"format {FORMAT + 1}, this release reads up to {FORMAT}: upgrade Rebus"):
        Searcher(served.config, served.catalog).refresh()


# --- going back ---


def test_going_back_and_forth(served: Served) -> None:
    searcher = Searcher(served.config, served.catalog)
    assert numbers(served) == [3, 2, 1]
    for expected in ([2, 3, 1], [1, 2, 3]):
        assert roll_back(served.catalog).id == expected[0]
        assert numbers(served) == expected
        assert searcher.refresh() and searcher.version.id == expected[0]
        served.check(searcher)
    with pytest.raises(NotFound, match="no version before"):
        roll_back(served.catalog)
    choose(served.catalog, 3)
    assert numbers(served) == [3, 1, 2] and searcher.refresh()
    with pytest.raises(NotFound, match="no version 9"):
        choose(served.catalog, 9)
    assert not searcher.refresh() and searcher.version.id == 3


def test_what_is_built_after_going_back_is_gone_back_from_to_the_same(served: Served) -> None:
    roll_back(served.catalog)
    served.publish()
    assert numbers(served) == [4, 2, 3]  # three are kept
    assert roll_back(served.catalog).id == 2


def test_as_many_versions_are_kept_as_the_settings_say(served: Served) -> None:
    served.config = replace(served.config, index=replace(served.config.index, keep_versions=2))
    served.publish()
    assert numbers(served) == [4, 3]
    assert sorted(path.name for path in (served.config.home / "versions").iterdir()) == ["000003", "000004"]
    assert prune(served.catalog, 1) == [3] and prune(served.catalog, 1) == []
    served.check(Searcher(served.config, served.catalog))


def test_nobody_can_go_back_to_what_was_forgotten(served: Served) -> None:
    served.remove([1, 2])
    served.collect()
    assert len(numbers(served)) == 1
    with pytest.raises(NotFound):
        roll_back(served.catalog)
    served.remove(list(served.vectors))
    served.collect()
    assert numbers(served) == [] and list((served.config.home / "versions").iterdir()) == []


def test_going_back_from_a_head_goes_on_without_it(served: Served) -> None:
    """What is built next has the head of what is served, not of what was built last."""
    with served.catalog.session() as session:
        session.execute(sa.update(IndexVersion).where(IndexVersion.id == 3).values(head_id=77))
    roll_back(served.catalog)
    built = served.publish()
    assert built is not None and built.head_id is None


def test_what_is_listed(served: Served) -> None:
    roll_back(served.catalog)
    served.remove([1])
    served.add(2)
    first, second, third = listed(served.catalog)
    assert [facts["id"] for facts in (first, second, third)] == [2, 3, 1]
    assert [facts["served"] for facts in (first, second, third)] == [True, False, False]
    assert (first["items"], first["newer"], first["removed"]) == ({"image": 15}, 5, 1)
    assert (third["newer"], second["newer"]) == (8, 2)
    assert first["bytes"] == sum(path.stat().st_size for path in folder(served, 2).iterdir())


def test_the_command_lists_goes_back_chooses_and_drops(served: Served, run: Run) -> None:
    out = run("versions")[1].splitlines()
    assert [line.split()[:2] for line in out] == [["3", "served"], ["2", "kept"], ["1", "kept"]]
    assert "18 image" in out[0] and "no head" in out[0] and "15 image, 3 newer beside it" in out[1]
    assert run("versions", "rollback")[1].startswith("Version 2 is served now")
    used = json.loads(run("versions", "use", "1", "--json")[1])
    assert (used["index_version"], used["head"]) == (1, None) and "its folder is not there" in used["warning"]
    assert run("versions", "rollback")[0::2] == (1, run("versions", "rollback")[2])
    assert "no version 7" in run("versions", "use", "7")[2]
    assert [facts["id"] for facts in json.loads(run("versions", "--json")[1])["versions"]] == [1, 2, 3]
    assert run("versions", "prune", "--keep", "2")[1] == "Dropped version 3.\n"
    assert json.loads(run("versions", "prune", "--json")[1]) == {"dropped": []}
    assert numbers(served) == [1, 2]


def test_indexing_after_going_back_brings_all_of_it(changed: Config) -> None:
    """Nothing that came since is lost, and nothing is embedded again."""
    catalog = Catalog(changed)
    media = changed.home.parent / "media1"
    (media / "boats" / "red-000.jpg").unlink()
    assert index_folders(changed, [media], silent).version is not None
    before = roll_back(catalog)
    report = index_folders(changed, [media], silent)
    assert report.embedded == 0 and report.version is not None and report.version.id > before.id
    assert sum(report.version.counts.values()) == 117
    catalog.engine.dispose()


# --- the schema ---


def test_versions_of_the_third_schema_keep_their_order_and_the_served_one_stays_going_down(served: Served) -> None:
    roll_back(served.catalog)
    config = alembic_config(served.config)
    assert catalog_url(served.config).endswith("catalog.db")
    served.catalog.engine.dispose()
    alembic.downgrade(config, "0003")
    alembic.upgrade(config, "head")
    assert numbers(served) == [2, 1]
    served.check(Searcher(served.config, served.catalog))
    served.add(1)
    served.publish()
    assert numbers(served) == [3, 2, 1]
