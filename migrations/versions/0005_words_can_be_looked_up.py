"""Words can be looked up: a full-text index of captions, names of files and keywords; marks of any query; calibration

SQLite: FTS5 over a view, kept right by triggers; it holds tokens and no second copy of the text. A row's id is four
times its item's and the kind: 0 a caption, 1 a path, 2 the keywords. PostgreSQL: GIN indexes over what a function makes
of the same columns, which need no triggers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEYWORDS = "SELECT group_concat(word, ' ') FROM (SELECT word FROM keywords WHERE item_id = {0} ORDER BY word)"
_VIEW = """
CREATE VIEW words (id, text) AS
    SELECT id * 4, text FROM captions
    UNION ALL SELECT id * 4 + 1, path FROM items WHERE parent_id IS NULL
    UNION ALL SELECT item_id * 4 + 2, group_concat(word, ' ')
        FROM (SELECT item_id, word FROM keywords ORDER BY item_id, word) GROUP BY item_id
"""
_TABLE = """
CREATE VIRTUAL TABLE words_fts USING fts5(
    text, content='words', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')
"""


def _put(row: str, text: str) -> str:
    return (
        f"INSERT INTO words_fts (rowid, text) SELECT {row}, text FROM (SELECT ({text}) AS text) WHERE text IS NOT NULL;"
    )


def _take(row: str, text: str) -> str:
    return (
        f"INSERT INTO words_fts (words_fts, rowid, text) SELECT 'delete', {row}, text FROM (SELECT ({text}) AS text) "
        "WHERE text IS NOT NULL;"
    )


def _triggers() -> dict[str, str]:
    """Event and body of each trigger, by its name."""
    known = {word: _KEYWORDS.format(f"{word}.item_id") for word in ("new", "old")}
    caption, path, keywords = ({word: f"{word}.{rest}" for word in ("new", "old")}
                               for rest in ("id * 4", "id * 4 + 1", "item_id * 4 + 2"))  # fmt: skip
    file = "WHEN {0}.parent_id IS NULL"
    return {
        "caption_put": f"AFTER INSERT ON captions BEGIN {_put(caption['new'], 'new.text')} END",
        "caption_taken": f"AFTER DELETE ON captions BEGIN {_take(caption['old'], 'old.text')} END",
        "caption_changed": "AFTER UPDATE OF id, text ON captions BEGIN "
        f"{_take(caption['old'], 'old.text')} {_put(caption['new'], 'new.text')} END",
        "path_put": f"AFTER INSERT ON items {file.format('new')} BEGIN {_put(path['new'], 'new.path')} END",
        "path_taken": f"AFTER DELETE ON items {file.format('old')} BEGIN {_take(path['old'], 'old.path')} END",
        "path_changed": f"AFTER UPDATE OF path ON items {file.format('new')} AND new.path <> old.path BEGIN "
        f"{_take(path['old'], 'old.path')} {_put(path['new'], 'new.path')} END",
        "keyword_coming": f"BEFORE INSERT ON keywords BEGIN {_take(keywords['new'], known['new'])} END",
        "keyword_put": f"AFTER INSERT ON keywords BEGIN {_put(keywords['new'], known['new'])} END",
        "keyword_going": f"BEFORE DELETE ON keywords BEGIN {_take(keywords['old'], known['old'])} END",
        "keyword_taken": f"AFTER DELETE ON keywords BEGIN {_put(keywords['old'], known['old'])} END",
    }


# Accents go with NFKD, and what is no letter or digit parts words, so that the parser sees no address or path. English
# endings are taken off on both databases (Porter 1980); no word is left out for being common.
_FUNCTIONS = (
    "CREATE TEXT SEARCH DICTIONARY words_stem (TEMPLATE = pg_catalog.snowball, LANGUAGE = english)",
    "CREATE TEXT SEARCH CONFIGURATION words_plain (COPY = pg_catalog.simple)",
    "ALTER TEXT SEARCH CONFIGURATION words_plain ALTER MAPPING FOR asciiword, word WITH words_stem",
    r"""
CREATE FUNCTION words_of(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('words_plain', regexp_replace(
        regexp_replace(lower(normalize(left(said, 100000), NFKD)), U&'[\0300-\036F]', '', 'g'),
        U&'[\0001-\002F\003A-\0040\005B-\0060\007B-\00BF\2000-\206F\3000-\303F\FF00-\FF0F]+', ' ', 'g'))
$$""",
)
_INDEXES = {
    "ix_captions_words": ("captions", "words_of(text)", ""),
    "ix_items_words": ("items", "words_of(path)", "WHERE parent_id IS NULL"),
    "ix_keywords_words": ("keywords", "words_of(word)", ""),
}


def upgrade() -> None:
    op.add_column("marks", sa.Column("vector", sa.LargeBinary(), nullable=True))
    op.add_column("marks", sa.Column("space", sa.String(40), nullable=True))
    op.add_column("versions", sa.Column("calibration", sa.JSON(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_VIEW)
        op.execute(_TABLE)
        op.execute("INSERT INTO words_fts (words_fts) VALUES ('rebuild')")
        for name, body in _triggers().items():
            op.execute(f"CREATE TRIGGER words_{name} {body}")
        return
    for made in _FUNCTIONS:
        op.execute(made)
    for name, (table, words, where) in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {table} USING gin ({words}) {where}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in _triggers():
            op.execute(f"DROP TRIGGER words_{name}")
        op.execute("DROP TABLE words_fts")
        op.execute("DROP VIEW words")
    else:
        for name in _INDEXES:
            op.execute(f"DROP INDEX {name}")
        op.execute("DROP FUNCTION words_of(text)")
        op.execute("DROP TEXT SEARCH CONFIGURATION words_plain")
        op.execute("DROP TEXT SEARCH DICTIONARY words_stem")
    op.execute("DELETE FROM marks WHERE vector IS NOT NULL")  # the fourth schema knows words alone
    op.execute("ALTER TABLE marks DROP COLUMN vector")
    op.execute("ALTER TABLE marks DROP COLUMN space")
    op.execute("ALTER TABLE versions DROP COLUMN calibration")
