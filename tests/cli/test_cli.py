"""The command line as a whole: help, version, mistakes, and how quickly it is there."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import pytest

from mirror.cli import cli
from mirror.cli.terminal import LONGEST_TEXT, safe
from tests.cli.conftest import Shell

HEAVY = ("aiohttp", "sqlalchemy", "pydantic", "msgspec", "rich", "http.client", "asyncio", "yaml")


def test_help_names_every_command_in_one_line() -> None:
    ran = Shell().run("--help")
    assert ran.code == 0
    for command in cli.commands.values():
        assert any(
            line.startswith(f"  {command.name} ") and line.endswith(".") and "..." not in line
            for line in ran.lines
        ), command.name
    assert "Exit codes: 0 done; 1 the answer is no" in ran.out
    assert all(len(line) <= 80 for line in ran.lines)


@pytest.mark.parametrize("command", list(cli.commands))
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_and_option_says_what_it_is_for(command: str, flag: str) -> None:
    ran = Shell().run(command, flag)
    assert ran.code == 0
    assert all(len(line) <= 80 for line in ran.lines)
    options = [item for item in cli.commands[command].params if isinstance(item, click.Option)]
    assert all(option.help for option in options)


def test_the_version_is_the_one_installed() -> None:
    assert Shell().run("--version").out == f"mirror {metadata.version('mirror')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("stats", "extra"),
        ("stats", "--nothing"),
        ("images", "a", "b"),
        ("serve", "x"),
    ],
)
def test_a_usage_error_is_two(arguments: tuple[str, ...]) -> None:
    ran = Shell().run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: mirror")


def test_help_is_there_at_once() -> None:
    """Nothing heavy is loaded until a command needs it."""
    source = "import sys, mirror.__main__; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert set(HEAVY) & set(ran.stdout.split()) == set()


def test_a_terminal_that_lacks_a_letter_gets_it_escaped(tmp_path: Path) -> None:
    (tmp_path / "Ω.yaml").write_text("offline: true\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mirror", "check-config", "--config", "Ω.yaml"],
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "1", "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.startswith(rb"\u03a9.yaml is valid")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nginx:1.27", "nginx:1.27"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x9b\x00\x7f", r"\x9b\x00\x7f"),
        ("\u202eevil\u2066\u200b", r"\u202eevil\u2066\u200b"),
        ("\U000e0001", r"\U000e0001"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("größe", "größe"),
    ],
)
def test_what_could_move_a_cursor_or_deceive_is_escaped(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_long_text_is_cut() -> None:
    assert len(safe("x" * 1_000_000)) == LONGEST_TEXT + 3
