"""The command line: what can be typed. What is done is in one module for each command.

Those are imported when they are needed, so that ``mirror --help`` is there at once.
"""

from pathlib import Path

import click

from mirror.cli.options import config_option, json_option, url_option

EPILOG = """\
Exit codes: 0 done; 1 the answer is no, such as an image that is not stored; 2 the command or the
configuration is wrong, or no mirror answered.
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mirror", prog_name="mirror", message="%(prog)s %(version)s")
def cli() -> None:
    """A pull-through mirror of Docker Hub and other registries, and a private registry.

    "mirror serve" is the server. The other commands ask a running one about what it holds and
    does: the one on this machine, unless --url or MIRROR_URL names another.
    """


@cli.command(short_help="Run the server.")
@config_option
def serve(path: Path | None) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    Every key of the configuration has a default, and can also be set in the environment, as in
    MIRROR__CACHE__MAX_SIZE=200GiB. Without any of it Docker Hub is mirrored at 127.0.0.1:5000.
    """
    from mirror.cli.serve import run_server  # noqa: PLC0415 - heavy: only where it is used

    raise click.exceptions.Exit(run_server(path))


@cli.command(short_help="Check mirror.yaml without starting anything.")
@config_option
@json_option
def check_config(path: Path | None, *, as_json: bool) -> None:
    """Tell every mistake in the configuration at once, or what it amounts to.

    The environment counts as it does for "mirror serve". Nothing is started or contacted. The exit
    code is 2 when there is a mistake.
    """
    from mirror.cli.check_config import report_config  # noqa: PLC0415 - heavy, as above

    report_config(path, as_json=as_json)


@cli.command(short_help="Show what a mirror did and does.")
@url_option
@json_option
def stats(url: str, *, as_json: bool) -> None:
    """Show answers, traffic, storage, upstreams and what is left of their pull limits.

    All of it counts from the first start of a server with this data folder.
    """
    from mirror.cli.stats import report_stats  # noqa: PLC0415 - heavy, as above

    report_stats(url, as_json=as_json)


@cli.command(short_help="List what is stored.")
@click.argument("name", required=False)
@url_option
@json_option
def images(name: str | None, url: str, *, as_json: bool) -> None:
    """List what is stored, or what is stored of NAME.

    NAME is a repository (nginx, docker.io/library/nginx, ghcr.io/team/app), alone or with a :tag
    or an @digest. The exit code is 1 when nothing of it is stored.
    """
    from mirror.cli.images import report_images  # noqa: PLC0415 - heavy, as above

    report_images(name, url, as_json=as_json)


@cli.command(short_help="Make room, or show what would go.")
@click.option("--dry-run", is_flag=True, help="Show what would go and why, and let it stay.")
@url_option
@json_option
def evict(url: str, *, dry_run: bool, as_json: bool) -> None:
    """Make room now where a limit is exceeded, the least recently used images first.

    The mirror does so by itself. What is hosted, in use, or could not be fetched again just now
    stays.
    """
    from mirror.cli.evict import report_eviction  # noqa: PLC0415 - heavy, as above

    report_eviction(url, dry_run=dry_run, as_json=as_json)


@cli.command(short_help="Delete what nothing needs any more, or show what would go.")
@click.option("--dry-run", is_flag=True, help="Show what would go and why, and let it stay.")
@url_option
@json_option
def gc(url: str, *, dry_run: bool, as_json: bool) -> None:
    """Delete what was pushed here and no manifest needs any more.

    The mirror does so by itself (hosted.gc.every), and serves pulls and pushes meanwhile. What was
    pushed, mounted or asked for within hosted.gc.grace stays.
    """
    from mirror.cli.gc import report_collection  # noqa: PLC0415 - heavy, as above

    report_collection(url, dry_run=dry_run, as_json=as_json)
