"""The commands about marks: `rebus mark` says that results are good or bad, `rebus marks` lists what was said."""

import time
from typing import TYPE_CHECKING, Any

import click

from indexer.command_line import as_json, print_json, settings

if TYPE_CHECKING:
    from engine.catalog import Mark

_LONGEST = 2000  # characters of a query, as the page and the endpoint have it


@click.command()
@click.argument("query")
@click.argument("items", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1), metavar="ID...")
@click.option("--good", is_flag=True, help="They are what was asked for (this is usual).")
@click.option("--bad", is_flag=True, help="They are not: they are left out of this query's results.")
@click.option("--forget", is_flag=True, help="Take back what was said of them.")
@as_json
@click.pass_context
def mark(
    context: click.Context, query: str, items: tuple[int, ...], good: bool, bad: bool, forget: bool, json_: bool
) -> None:
    """Mark results of a query in words, by the ids that `rebus search --json` tells, as good or bad."""
    from engine import marks
    from engine.catalog import Catalog
    from engine.errors import InvalidInput
    from engine.filters import check_text
    from engine.types import Term

    if good + bad + forget > 1:
        raise click.UsageError("--good, --bad and --forget say different things: give one of them")
    if len(query) > _LONGEST or query.startswith("-") or query.lower().startswith("like:"):
        raise InvalidInput(f"a mark belongs to a query in plain words, of at most {_LONGEST:,} characters")
    check_text((query,))
    catalog = Catalog(settings(context))
    asked = marks.Asked(marks.words_asked((Term(text=query),)) or "")
    count = marks.put(catalog, asked, items, None if forget else not bad)
    now = marks.of_query(catalog, asked)
    facts = {"count": count, "good": now.good, "bad": now.bad, "learned": marks.learned(catalog)}
    if json_:
        print_json(facts)
        return
    done = "taken back" if forget else "marked bad" if bad else "marked good"
    click.echo(
        f"{count:,} {done}. Of this query {len(now.good):,} are good "
        f"and {len(now.bad):,} bad; {facts['learned']:,} marks in all can be learned from with `rebus train`."
    )


@click.command()
@click.argument("query", required=False)
@as_json
@click.pass_context
def marks(context: click.Context, query: str | None, json_: bool) -> None:
    """List what was marked, the newest first; of one query, when it is given."""
    from engine import marks as kept
    from engine.catalog import Catalog
    from engine.words import plain

    catalog = Catalog(settings(context))
    rows = [_facts(row) for row in kept.listed(catalog, query, limit=1_000_000)]
    if json_:
        print_json({"marks": rows, "learned": kept.learned(catalog)})
        return
    for row in rows:
        day = time.strftime("%Y-%m-%d", time.gmtime(row["marked_at"]))
        click.echo(
            plain(f"{day}  {'good' if row['good'] else 'bad ':4}  {row['item']:>8}  {row['query'] or '(pictures)'}")
        )


def _facts(row: "Mark") -> dict[str, Any]:
    return {"id": row.id, "item": row.item_id, "query": row.query or None, "good": row.good, "marked_at": row.marked_at}
