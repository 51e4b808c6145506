"""What some tests need of a machine, and what becomes of them where it is not there.

The one rule: a test that cannot run is skipped on a developer's machine and fails where CI is set,
whatever it is skipped by, lest nobody notice that it never runs. `EXCUSED` are the exceptions.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

EXCUSED = frozenset({"there is no IPv6 here"})
"""Reasons to skip a test also where CI is set.

A kernel or a container may have IPv6 switched off, and nothing that could be installed brings it.
"""

MOUNTING_OPTIONS = ("-m", "-Urm")
"""Of `unshare`, for namespaces in which something may be mounted; root has it easier."""

SECOND_FILE_SYSTEM = Path("/dev/shm")  # noqa: S108 - nothing is written there


@dataclass(frozen=True, slots=True)
class Requirement:
    """``lack`` is the reason that is given where it is not met."""

    lack: str
    is_met: Callable[[], bool]


@cache
def can_trace() -> bool:
    attempt = ["strace", "-qq", "-o", "/dev/null", "true"]
    return shutil.which("strace") is not None and not subprocess.call(attempt)


@cache
def mounting_option() -> str | None:
    """One of those, ``None`` where nothing may be mounted."""
    if shutil.which("unshare") is None:
        return None
    return next(filter(_may_mount, MOUNTING_OPTIONS), None)


def _may_mount(option: str) -> bool:
    attempt = ["unshare", option, "mount", "-t", "tmpfs", "none", "/mnt"]
    return not subprocess.run(attempt, check=False, capture_output=True).returncode


@cache
def has_ipv6() -> bool:
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


def has_second_file_system() -> bool:
    folder = Path(tempfile.gettempdir())
    return SECOND_FILE_SYSTEM.is_dir() and SECOND_FILE_SYSTEM.stat().st_dev != folder.stat().st_dev


needs_strace = pytest.mark.needs(Requirement("strace is missing or not allowed", can_trace))
needs_mounts = pytest.mark.needs(
    Requirement("nothing may be mounted here", lambda: mounting_option() is not None)
)
needs_ipv6 = pytest.mark.needs(Requirement("there is no IPv6 here", has_ipv6))
needs_second_file_system = pytest.mark.needs(
    Requirement("there is one file system only", has_second_file_system)
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(requirement): see tests/requirements.py")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for requirement in marker.args:
            if not requirement.is_met():
                pytest.skip(requirement.lack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judge(report)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or not _is_ci():
        return
    reason = _reason(report)
    if reason not in EXCUSED:
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped where CI is set: {reason}"


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "false", "0")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")
