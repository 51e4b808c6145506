"""``mirror serve``."""

import os
from pathlib import Path

from mirror.app import ServeError, serve
from mirror.cli.failure import Failure, Misconfigured
from mirror.cli.options import find_config
from mirror.config import ConfigError, load_config
from mirror.descriptors import allow_many_descriptors


def run_server(path: Path | None) -> int:
    """The exit code, once the server has stopped. Raises Failure when it cannot start."""
    try:
        config = load_config(find_config(path), os.environ)
    except ConfigError as error:
        raise Misconfigured([str(problem) for problem in error.problems]) from error
    allow_many_descriptors()
    try:
        return serve(config)
    except ServeError as error:
        raise Failure(str(error)) from error
