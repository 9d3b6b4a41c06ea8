"""What the commands share: their settings, and JSON. Modules of commands import the rest when they run."""

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from engine.config import Config

as_json = click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")


def settings(context: click.Context, **flags: Any) -> "Config":
    """The configuration, with a command's flags as section__key=value."""
    from engine.config import load_config

    overrides = {name.replace("__", "."): value for name, value in flags.items()}
    return load_config(context.obj["home"], context.obj["file"], overrides)


def print_json(value: Any) -> None:
    """A result, for other programs."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1))
