"""Where CI is set no test is skipped without anybody noticing, whatever it is skipped by."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.requirements import EXCUSED

ROOT = Path(__file__).parents[1]
LACKING = "Requirement('the moon is not here', lambda: False)"
SKIPS = (
    f"@pytest.mark.needs({LACKING})\ndef test(): pass",
    f"@pytest.mark.needs({LACKING})\ndef test(missing_fixture): pass",
    "@pytest.mark.skip(reason='no time')\ndef test(): pass",
    "@pytest.mark.skipif(True, reason='no time')\ndef test(): pass",
    "def test(): pytest.skip('no time')",
    "@pytest.fixture\ndef f(): pytest.skip('no')\ndef test(f): pass",
    "pytest.skip('no time', allow_module_level=True)",
    "pytest.importorskip('no_such_module')",
)
EXCUSES = [
    f"@pytest.mark.needs(Requirement({reason!r}, lambda: False))\ndef test(): pass"
    for reason in EXCUSED
]
MET = "@pytest.mark.needs(Requirement('x', lambda: True))\ndef test(): pass"


def outcome(folder: Path, texts: Iterable[str], ci: str | None) -> str:
    """The last line of what a run of these tests says, without the time it took."""
    for number, text in enumerate(texts):
        file = folder / f"test_{number}.py"
        file.write_text(f"import pytest\nfrom tests.requirements import Requirement\n{text}\n")
    options = ["-p", "tests.requirements", "-p", "no:cacheprovider", "-c", os.devnull]
    environ = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(
        [*(sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors"), *options],
        cwd=folder,
        env=environ if ci is None else environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout.splitlines()[-1].partition(" in ")[0]


def test_what_is_skipped_elsewhere_fails_in_ci(tmp_path: Path) -> None:
    texts = [*SKIPS, MET]
    assert outcome(tmp_path, texts, None) == "1 passed, 8 skipped"
    assert outcome(tmp_path, texts, "true") == "1 failed, 1 passed, 7 errors"


@pytest.mark.parametrize("ci", ["", "false"])
def test_ci_may_be_said_to_be_off(tmp_path: Path, ci: str) -> None:
    assert outcome(tmp_path, SKIPS, ci) == "8 skipped"


def test_what_is_excused_is_skipped_in_ci_too(tmp_path: Path) -> None:
    assert outcome(tmp_path, EXCUSES, "true") == f"{len(EXCUSES)} skipped"


@pytest.mark.parametrize(
    ("ci", "code"), [("", 0), ("false", 0), ("False", 0), ("0", 0), ("true", 1), ("1", 1)]
)
def test_neither_can_all_tests_of_clients_be_skipped(tmp_path: Path, ci: str, code: int) -> None:
    """There is no environment to run them in, whoever starts this and wherever."""
    folder = tmp_path / "tests" / "clients"
    folder.mkdir(parents=True)
    script = shutil.copy(ROOT / "tests" / "clients" / "run", folder)
    ran = subprocess.run(
        [script], env={"PATH": os.defpath, "CI": ci}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, "all skipped" in ran.stderr) == (code, True)
