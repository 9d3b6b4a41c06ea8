"""`rebus train --recipe`, for the front door."""

import json
from dataclasses import asdict
from os.path import expanduser
from pathlib import Path

import click

from engine.curves import draw_curves
from engine.encoders import MERGES_FILE, STARTER, folder_of
from engine.errors import InvalidInput
from indexer.bundled import licence_of
from indexer.pixel_towers import save_towers
from indexer.progress import Progress
from indexer.starter.recipe import load_recipe
from indexer.starter.run import train_starter
from indexer.starter.teacher import LiteTeacher

_RESEARCH = ("flickr8k",)  # sources whose terms the licence of the bundled weights tells


def follow(name: str, data: Path, out: Path | None, json_: bool) -> None:
    """Make an encoder by a recipe, into a folder below `out`; `out`/work is what it goes on from.

    out: None for a folder that is named like the recipe, beside its file. What each stage did is in its training.json,
    and drawn. Raises ConfigError, InvalidInput and EncoderUnavailable for what is not possible or not there.
    """
    recipe = load_recipe(name)
    out = out or Path(expanduser(name)).with_suffix("")
    if out.is_file():
        raise InvalidInput(f"{out} is a file: name a folder for what is made with --out")
    teacher = LiteTeacher(data / recipe.teacher)
    with Progress() as progress:
        towers, reports = train_starter(recipe, teacher, data, out / "work", progress.tell, progress.hear)
    stages = {stage: asdict(report) for stage, report in reports.items()}
    log = {"recipe": asdict(recipe), "parameters": towers.parameter_count, "stages": stages}
    files = {f"{stage}.svg": draw_curves({stage: report.curve}, {}) for stage, report in reports.items()}
    files["training.json"] = (json.dumps(log, indent=1) + "\n").encode()
    if any(source.name in _RESEARCH for source in recipe.sources):
        files |= licence_of(folder_of(STARTER))
    folder = save_towers(towers, {"recipe": name}, out, out / "work" / MERGES_FILE, files)
    best = list(reports.values())[-1].best
    if json_:
        click.echo(json.dumps({"encoder": str(folder), "best": best}, indent=1))
    else:
        click.echo(f"The encoder is in {folder}. R@10 on pictures set aside: {best['r10']:.3f}, both ways averaged.")
