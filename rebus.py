"""The front door: one command group. Each command reads its settings, calls one function of a package, and prints."""

import dataclasses
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.care.commands import COMMANDS as CARE
from indexer.care.version_commands import versions
from indexer.command_line import as_json, print_json, settings
from indexer.evaluation.bench_command import bench
from indexer.evaluation.command import eval_
from indexer.heads.commands import COMMANDS as HEADS
from indexer.imports.command import import_
from indexer.marking import mark, marks
from indexer.plan_command import build
from indexer.results import result_facts, result_lines
from indexer.telling import print_encoder, print_index

if TYPE_CHECKING:  # start-up time: a command imports what it needs when it runs
    from engine.catalog import Catalog
    from engine.config import Config
    from engine.duplicates import Copy
    from engine.types import Query

encoder_option = click.option(
    "--encoder", "model", metavar="SPEC", help="starter (comes with Rebus), open_clip:NAME/WEIGHTS, or a folder."
)
exclude_option = click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Pass over what matches in this run, as .gitignore has it."
)
FOLDER = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", type=FOLDER, help="The library's folder (REBUS_HOME; else the platform's data folder).")
@click.option("--config", "file", type=FOLDER, help="A config.toml (REBUS_CONFIG; else the one in the home).")
@click.version_option(package_name="rebus")
@click.pass_context
def cli(context: click.Context, home: Path | None, file: Path | None) -> None:
    """Find pictures with words, and words with pictures, in your own folders."""
    context.obj = {"home": home, "file": file}


def named(model: str | None) -> str | None:
    """`--encoder starter` as its folder: said on the command line it gives way to nothing that the library uses."""
    from engine.encoders import STARTER, folder_of

    return str(folder_of(STARTER)) if model == STARTER else model


@cli.command()
@click.argument("folders", nargs=-1, type=FOLDER, metavar="[FOLDER]...")
@encoder_option
@exclude_option
@click.option("--retry", is_flag=True, help="Try the files again that could not be used.")
@click.option("--again", is_flag=True, help="Read all files again by the settings of now; embed only what changed.")
@click.option("--gone", is_flag=True, help="Believe that files were removed, where nearly all of FOLDER are missing.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@as_json
@click.pass_context
def index(
    context: click.Context,
    folders: tuple[Path, ...],
    model: str | None,
    exclude: tuple[str, ...],
    retry: bool,
    again: bool,
    gone: bool,
    dry_run: bool,
    json_: bool,
) -> None:
    """Index media folders, or all known ones again; what changed is taken in, and can be searched at once."""
    from indexer.library import IndexReport, index_folders
    from indexer.progress import Progress

    if gone and not folders:
        raise click.UsageError("--gone wants the FOLDER that was emptied: a drive may be away")
    config = settings(context, encoder__model=named(model), index__exclude=exclude or None)
    if dry_run:
        from indexer.dry_run import preview

        with Progress() as progress:
            scans = preview(config, folders, gone, progress.note)
        print_index(IndexReport(scans), json_, dry_run=True)
        return
    with Progress() as progress:
        report = index_folders(config, folders, progress.tell, retry=retry, again=again, gone=gone, note=progress.note)
    print_index(report, json_)


@cli.command()
@click.argument("folders", nargs=-1, type=FOLDER, metavar="[FOLDER]...")
@encoder_option
@exclude_option
@click.pass_context
def watch(context: click.Context, folders: tuple[Path, ...], model: str | None, exclude: tuple[str, ...]) -> None:
    """Index folders, then follow them live: what changes is taken in within seconds. Ctrl-C ends it."""
    from indexer.progress import Progress
    from indexer.watch import watch_folders

    config = settings(context, encoder__model=named(model), index__exclude=exclude or None)
    with Progress() as progress:
        watch_folders(config, folders, progress.tell, progress.note)


@cli.command()
@click.option(
    "--encoder",
    "encoder",
    is_flag=True,
    help="Fit an encoder from pixels instead; embed everything anew if it finds more than what it began with.",
)
@click.option(
    "--method", "methods", metavar="NAME", multiple=True, help="How to learn a head (head.method); again for one more."
)
@click.option("--all", "every", is_flag=True, help="Fit a head by every method, and judge the best.")
@click.option("--text", type=click.Choice(["auto", "encoder", "lexical", "tokens"]), help="What a head reads of words.")
@click.option("--dim", type=int, help="Width of the joint space.")
@click.option("--lang", "languages", multiple=True, metavar="CODE", help="Captions to learn from; the first is judged.")
@click.option("--plot", type=FOLDER, metavar="FILE.svg", help="Draw the curves of training there.")
@click.option("--epochs", type=int, help="At most this many passes over the pictures.")
@click.option("--minutes", type=float, help="At most this long.")
@click.option("--seed", type=int, help="The same seed gives the same weights on one device.")
@click.option("--recipe", metavar="NAME", help="Make an encoder for any library, by a recipe (starter, free, a file).")
@click.option("--data", type=FOLDER, help="The folder of a recipe's data (the present one).")
@click.option("--out", type=FOLDER, help="Where a recipe's encoder and its work go (a folder named like the recipe).")
@as_json
@click.pass_context
def train(
    context: click.Context,
    encoder: bool,
    methods: tuple[str, ...],
    every: bool,
    text: str | None,
    dim: int | None,
    languages: tuple[str, ...],
    plot: Path | None,
    epochs: int | None,
    minutes: float | None,
    seed: int | None,
    recipe: str | None,
    data: Path | None,
    out: Path | None,
    json_: bool,
) -> None:
    """Learn a head from the library's own captions and marks, and serve it if it finds more than what is there."""
    from indexer.heads.commands import train_head
    from indexer.library import train_and_publish
    from indexer.progress import Progress

    given: dict[str, Any] = {"epochs": epochs, "max_minutes": minutes, "seed": seed}
    of_heads = methods or every or languages or any(value is not None for value in (text, dim, plot))
    if recipe is not None:
        if encoder or of_heads or any(value is not None for value in given.values()):
            raise click.UsageError("--recipe says all of it itself: leave out all but --data and --out")
        from indexer.starter.command import follow

        follow(recipe, data or Path(), out, json_)
        return
    if data is not None or out is not None:
        raise click.UsageError("--data and --out are a recipe's: name it with --recipe (starter, free, or a file)")
    if not encoder:
        given |= {"text": text, "dim": dim}
        config = settings(context, **{f"head__{name}": value for name, value in given.items()})
        train_head(config, () if every else methods or (config.head.method,), languages, plot, json_)
        return
    if of_heads:
        raise click.UsageError(
            "--encoder fits from pixels: leave out --method, --all, --text, --dim, --lang and --plot"
        )
    config = settings(context, **{f"train__{name}": value for name, value in given.items()})
    with Progress() as progress:
        trained, report = train_and_publish(config, progress.tell, progress.hear)
    print_encoder(trained, report, json_)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("terms", nargs=-1, required=True, metavar="QUERY...")
@click.option(
    "--for", "wanted", type=click.Choice(["image", "text", "video", "audio"]), default="image", help="What to find."
)
@click.option("-t", "--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@click.option("--path", metavar="GLOB", help="Only below these paths, such as 'holiday/**'.")
@click.option("--taken", metavar="DATES", help="Only from this year, month, day or range: 2023-06..2023-08.")
@click.option("--camera", metavar="NAME", help="Only by a camera whose name holds this.")
@click.option("--keyword", metavar="WORD", multiple=True, help="Only with this keyword; again for one more.")
@click.option("--place", metavar="NAME", help="Only from a place whose name holds this.")
@click.option("--near", metavar="LAT,LON,KM", help="Only from within this distance.")
@click.option("--source", metavar="GLOB", help="Only words read from this, or what has some: exif, ocr, '*.txt'.")
@click.option("--root", metavar="NAME", help="Only from the library's folder of this name.")
@click.option("--mode", type=click.Choice(["hybrid", "vector", "text"]), help="Compare words with these (search.mode).")
@click.option(
    "--min", "least", type=click.FloatRange(0, 1), default=0.0, help="Leave out what is less sure, from 0 to 1."
)
@click.option("--no-marks", is_flag=True, help="Do as if nothing had been marked for this query.")
@click.option("--explain", is_flag=True, help="Say why each hit is there, how deep stages looked, and their time.")
@click.option("--exact", is_flag=True, help="Compare with every vector, not only with what hash recall finds.")
@click.option("--all-copies", is_flag=True, help="Show near-duplicates too, not one of each group.")
@click.option("-f", "--filepath-only", is_flag=True, help="Print paths alone, one a line.")
@as_json
@click.pass_context
def search(context: click.Context, /, filepath_only: bool, json_: bool, **asked: Any) -> None:
    """Search with words, pictures, or both: rebus search "2:golden retriever" + ./pool.jpg - fruit"""
    from rich.console import Console

    config = settings(context)
    with Console(stderr=True).status("loading the encoder"):  # shown on a terminal alone; the import is most of it
        from engine.catalog import Catalog
        from engine.search import Searcher

        results = Searcher(config, catalog := Catalog(config)).search(query_of(config, **asked))
    if json_:
        print_json(result_facts(results))
        return
    if not results.hits:
        click.echo(_nothing_of(asked["wanted"], catalog), err=True)
    if filepath_only:
        for file in dict.fromkeys(str(Path(hit.root) / hit.path) for hit in results.hits):
            click.echo(file)
        return
    for line in result_lines(results):
        click.echo(line)


def _nothing_of(wanted: str, catalog: "Catalog") -> str:
    """Why a search found nothing, and what to do."""
    version = catalog.current_version()
    if version is None or version.counts.get(wanted):
        return "Nothing was found: no item passes the filters."
    if wanted == "text":
        return (
            "Nothing was found: this library has no words. Write captions, in NAME.txt beside NAME.jpg or in a "
            "captions.jsonl, and run `rebus index` again."
        )
    words = " Its words are found with `--for text`." if version.counts.get("text") else ""
    return f"Nothing was found: this library has no {wanted}. `rebus index FOLDER` takes in what has.{words}"


@cli.command()
@click.option("--host", help="The address to bind to.")
@click.option("--port", type=int, help="The port; 0 takes a free one.")
@click.pass_context
def serve(context: click.Context, host: str | None, port: int | None) -> None:
    """Serve the search page and the JSON endpoint."""
    run_server(settings(context, serve__host=host, serve__port=port))


@cli.command()
@click.option("--failures", "list_failures", is_flag=True, help="List the files that could not be used, and why.")
@click.option("--watch", is_flag=True, help="Show it live, until Ctrl-C.")
@as_json
@click.pass_context
def status(context: click.Context, list_failures: bool, watch: bool, json_: bool) -> None:
    """Say what the library holds, and what is being done to it."""
    from engine.catalog import Catalog
    from engine.status import failures, status_lines, summarize
    from engine.words import plain

    if watch and (list_failures or json_):
        raise click.UsageError("--watch shows the state on a terminal: leave out --failures and --json")
    catalog = Catalog(settings(context))
    if watch:
        _watch(catalog)
    elif list_failures:
        rows = failures(catalog, limit=1_000_000)
        if json_:
            print_json({"failures": rows})
        for row in [] if json_ else rows:
            said = f"{Path(row['root']) / row['path']}: {row['reason']} ({row['stage']}; {row['hint']})"
            click.echo(plain(said))
    elif json_:
        print_json(summarize(catalog))
    else:
        click.echo("\n".join(map(plain, status_lines(summarize(catalog)))))


@cli.command()
@click.option("--exact", is_flag=True, help="Only files with the same content.")
@click.option("-t", "--top", type=click.IntRange(min=1), default=20, show_default=True, help="How many groups.")
@click.option("--paths", is_flag=True, help="Print paths alone, the one to keep first; a blank line ends a group.")
@as_json
@click.pass_context
def duplicates(context: click.Context, exact: bool, top: int, paths: bool, json_: bool) -> None:
    """List files that are alike, the biggest saving first. Nothing is deleted."""
    from engine.catalog import Catalog
    from engine.duplicates import find_duplicates
    from engine.words import counted, readable_bytes

    found = find_duplicates(Catalog(settings(context)), exact=exact, top=top)
    if json_:
        print_json({"groups": [dataclasses.asdict(alike) for alike in found.listed], "count": found.count,
                     "saving": found.saving})  # fmt: skip
        return
    for alike in found.listed:
        if not paths:
            kind = "of the same content" if alike.exact else "alike"
            click.echo(f"{len(alike.copies)} {kind}, {readable_bytes(alike.saving)} could be saved")
        for number, copy in enumerate(alike.copies):
            click.echo(copy.path if paths else f"  {'keep' if number == 0 else '    '}  {_told(copy, alike.oldest)}")
        click.echo()
    if not paths:
        click.echo(
            f"{counted(found.count, 'group')} of files alike; {readable_bytes(found.saving)} could be saved in all."
        )


def _told(copy: "Copy", oldest: int) -> str:
    from engine.words import plain, readable_bytes

    pixels = f"{copy.width} × {copy.height}" if copy.width else ""
    day = time.strftime("%Y-%m-%d", time.gmtime(copy.modified)) + (", oldest" if copy.id == oldest else "")
    return f"{readable_bytes(copy.bytes):>10}  {pixels:13}  {day:18}  {plain(copy.path)}"


@cli.command()
@click.pass_context
def migrate(context: click.Context) -> None:
    """Bring the catalog's schema up to date (SQLite does so by itself)."""
    from engine.database import catalog_url
    from engine.database import migrate as run

    url = catalog_url(settings(context))
    run(url)
    click.echo("The catalog's schema is up to date.")


@cli.command()
@click.argument("media", required=False, type=FOLDER)
@click.option("--no-serve", is_flag=True, help="End after indexing.")
@click.option("--port", type=int, help="The port of the page; 0 takes a free one.")
@click.pass_context
def demo(context: click.Context, media: Path | None, no_serve: bool, port: int | None) -> None:
    """Draw a sample library (or take MEDIA), index it, and serve the page."""
    from indexer.demo import demo_home, prepare_demo
    from indexer.progress import Progress

    context.obj["home"] = demo_home(context.obj["home"])
    config = settings(context, serve__port=port)
    with Progress() as progress:
        config, report = prepare_demo(config, media, progress.tell)
    print_index(report, json_=False)
    if not no_serve:
        run_server(config)


for _command in (import_, build, eval_, bench, versions, mark, marks, *CARE, *HEADS):
    cli.add_command(_command)


def run_server(config: "Config") -> None:
    """Serve until interrupted, and say where."""
    from webui import serve as run

    run(config, announce=lambda url: click.echo("\n".join(serving_lines(config, url))))
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's own end: a thread in native code, also one that ended a moment ago, would abort in it.
    os._exit(0)


def serving_lines(config: "Config", url: str) -> Iterator[str]:
    """What is said once the server answers."""
    from engine.catalog import Catalog
    from webui.access import token_of
    from webui.hosts import address_elsewhere

    yield f"Rebus is at {url}  (Ctrl-C ends it)"
    if elsewhere := address_elsewhere(config.serve.host):
        yield f"From other machines: {url.replace('localhost', elsewhere)}"
    if Catalog(config).current_version() is None:
        yield "Nothing can be searched yet: run `rebus index FOLDER`; it is found without a new start."
    if token := token_of(config):
        yield f"Others are asked for the token: {token}"


def query_of(
    config: "Config", terms: Sequence[str], wanted: str, top: int, mode: str | None, least: float, *,
    no_marks: bool, explain: bool, exact: bool, all_copies: bool, **filters: Any,
) -> "Query":  # fmt: skip
    """What `rebus search` asks for."""
    from engine.filters import Filters
    from engine.types import Modality, Mode, Query

    return Query(
        parse_terms(terms, config), Modality(wanted), Filters(**filters).where(), top, exact=exact,
        fold=not all_copies, mode=Mode(mode) if mode else None, marks=not no_marks, least=least, explain=explain,
    )  # fmt: skip


def parse_terms(words: Sequence[str], config: "Config") -> tuple[Any, ...]:
    """Terms of a command line: `WORDS`, `picture.jpg`, `like:12`, `2:WORDS`, `"LITERAL"`, joined by `+` and `-`."""
    from engine.errors import InvalidInput
    from engine.likeness import Likeness
    from engine.media import modality_of, read_media
    from engine.types import Modality, Term

    terms, sign = [], 1.0
    for word in words:
        if word in ("+", "-"):
            sign = 1.0 if word == "+" else -1.0
            continue
        weight, value = _weighted(word)
        if value.startswith("like:"):
            like = Likeness.read(value.removeprefix("like:")).term
            terms.append(dataclasses.replace(like, weight=sign * weight * like.weight))
            sign = 1.0
            continue
        literal = len(value) > 2 and value[0] == value[-1] == '"'
        picture = not literal and modality_of(value) is Modality.IMAGE
        if picture and "/" in value and not os.path.exists(value):
            raise InvalidInput(f"no picture at {value}")
        if picture and os.path.isfile(value):
            media = read_media(Path(value).resolve(), config.media, config.media.thumbnail_pixels)
            terms.append(Term(image=media.frames[0].image, weight=sign * weight))
        else:
            terms.append(Term(text=value[1:-1] if literal else value, weight=sign * weight))
        sign = 1.0
    return tuple(terms)


def _weighted(word: str) -> tuple[float, str]:
    number, colon, value = word.partition(":")
    weight = re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)", number)
    return (float(number), value) if weight and colon and value else (1.0, word)


def _watch(catalog: "Catalog") -> None:
    """The state, anew every second until interrupted."""
    from rich.live import Live
    from rich.text import Text

    from engine.status import LiveStatus, status_lines
    from engine.words import plain

    state = LiveStatus(catalog)
    with suppress(KeyboardInterrupt), Live(auto_refresh=False) as live:
        while True:
            live.update(Text("\n".join(map(plain, status_lines(state.read())))), refresh=True)
            time.sleep(1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an expected error becomes one line and its exit code."""
    run: Callable[..., Any] = cli.main
    try:
        run(args=arguments, prog_name="rebus", standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted; everything finished is kept, and the same command goes on", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or ''}", 1)
    except Exception as error:
        from engine.errors import RebusError

        if not isinstance(error, RebusError):
            raise
        _fail(str(error), error.exit_code)


def _fail(message: str, code: int) -> None:
    from engine.words import plain

    click.echo(f"rebus: {plain(message)}", err=True)
    sys.exit(code)


def program() -> None:
    """`rebus`: the command line, ended without waiting for threads that import torch or encode, for seconds yet.

    A tidy end would wait for them, or crash in them.
    """
    try:
        main()
    except SystemExit as end:
        names = {thread.name for thread in threading.enumerate()}
        if end.code and any(name.startswith(("load-encoder", "encode")) for name in names):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(end.code))
        raise


if __name__ == "__main__":
    program()
