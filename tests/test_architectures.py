"""Nothing that the container image is made of is for one processor alone.

Whether an index has a wheel for the other one cannot be told without asking it: the lock must only
not keep it out.
"""

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]
BUILT_FROM = [ROOT / "Dockerfile", *sorted((ROOT / "container").iterdir())]
MACHINES = ("x86_64", "aarch64")
BOUND = re.compile(r"(?i)amd64|x86[-_]?64|aarch64|arm64|i[36]86|--platform|TARGETARCH|BUILDARCH")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Locked:
    """``files`` is how many files of the package the lock allows."""

    requirement: Requirement
    files: int

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def is_for(self, machine: str) -> bool:
        marker = self.requirement.marker
        return marker is None or marker.evaluate({"platform_machine": machine})


def read_lock(path: Path) -> list[Locked]:
    """Raises for anything but requirements with hashes: options, addresses, paths."""
    lines = path.read_text().replace("\\\n", "").splitlines()
    return [_locked(line) for line in lines if line.strip() and not line.startswith("#")]


def _locked(line: str) -> Locked:
    text, _, _ = line.partition("--hash")
    return Locked(Requirement(text.strip()), len(HASH.findall(line)))


def is_compiled(distribution: Distribution) -> bool:
    """Whether what is installed here has machine code in it."""
    wheel = distribution.read_text("WHEEL") or ""
    tags = re.findall(r"^Tag: (\S+)", wheel, re.MULTILINE)
    return any(not tag.endswith("-any") for tag in tags)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_the_same_packages_are_installed_on_every_machine(lock: Path) -> None:
    everything = read_lock(lock)
    assert everything
    first, second = ({one.name for one in everything if one.is_for(m)} for m in MACHINES)
    assert first == second
    assert all(one.requirement.url is None for one in everything)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_package_is_held_to_the_file_of_one_machine(lock: Path) -> None:
    """What has machine code needs a wheel for each, or its sources."""
    files = {one.name: one.files for one in read_lock(lock)}
    compiled = {canonicalize_name(one.name) for one in distributions() if is_compiled(one)}
    checked = files.keys() & compiled
    assert "aiohttp" in checked
    assert [name for name in sorted(checked) if files[name] < len(MACHINES)] == []


@pytest.mark.parametrize("path", BUILT_FROM, ids=lambda path: path.name)
def test_the_image_is_built_without_naming_a_machine(path: Path) -> None:
    assert BOUND.findall(path.read_text()) == []
