"""How a command ends that could not do its work: with lines to read, never a traceback."""

from typing import IO, Any

import click

from mirror.cli.terminal import safe


class Failure(click.ClickException):
    """The command, the configuration or the connection is wrong."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"Error: {safe(self.message)}", file=file, err=file is None)


class Misconfigured(Failure):
    """The configuration cannot be used; each problem is a line that begins with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def show(self, file: IO[Any] | None = None) -> None:
        for problem in self.problems:
            click.echo(safe(problem), file=file, err=file is None)


class Refused(Failure):
    """The mirror answered, with an HTTP ``status`` that is none of success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Absent(Failure):
    """The mirror could tell, and the answer is no."""

    exit_code = 1
