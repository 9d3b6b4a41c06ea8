"""Which of the kept versions is served: the one whose turn it is."""

import sqlalchemy as sa

from engine.catalog import NEXT_TURN, Catalog, IndexVersion
from engine.errors import NotFound


def choose(catalog: Catalog, version_id: int) -> IndexVersion:
    """Serve this version from now on, in every process. One statement: whoever builds meanwhile is not waited for.

    What is built later keeps its encoder and its head. Raises NotFound.
    """
    with catalog.session() as session:
        turn = sa.update(IndexVersion).where(IndexVersion.id == version_id).values(turn=NEXT_TURN)
        if not session.execute(turn).rowcount:  # type: ignore[attr-defined]
            raise NotFound(f"there is no version {version_id}: `rebus versions` lists those that are kept")
        return session.get_one(IndexVersion, version_id)


def roll_back(catalog: Catalog) -> IndexVersion:
    """Serve the version that was served before the present one was built. Raises NotFound when none is kept."""
    rows = catalog.versions()
    before = next((row for row in rows[1:] if row.id < rows[0].id), None)
    if before is None:
        raise NotFound(
            "no version before the present one is kept: index.keep_versions in config.toml says how many are, "
            "and `rebus versions` lists them"
        )
    return choose(catalog, before.id)
