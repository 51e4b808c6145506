"""Options that several commands take."""

from pathlib import Path

import click

DEFAULT_URL = "http://127.0.0.1:5000"

url_option = click.option(
    "--url",
    envvar="MIRROR_URL",
    default=DEFAULT_URL,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where the mirror to ask listens.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")

config_option = click.option(
    "--config",
    "-c",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration. Without it: ./mirror.yaml where there is one, else the defaults.",
)

USUAL_CONFIG = Path("mirror.yaml")


def find_config(path: Path | None) -> Path | None:
    """The file that was named, else the usual one; ``None`` where there is none."""
    if path is not None:
        return path
    # A link that leads nowhere was meant to lead somewhere: reading it says so.
    return USUAL_CONFIG if USUAL_CONFIG.exists() or USUAL_CONFIG.is_symlink() else None
