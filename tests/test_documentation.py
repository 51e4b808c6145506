"""Links between the documents lead somewhere: to a file that exists, and a heading in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

LINK = re.compile(r"\]\(\s*(?!\w+:)([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file and the heading, empty for none, of every link that stays in the repository."""
    for target in LINK.findall(BLOCK.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        yield (page.parent / path if path else page), anchor


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = HEADING.findall(BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page: Path) -> None:
    for path, anchor in links(page):
        assert path.exists(), path
        assert not anchor or anchor in anchors(path), f"{path.name}#{anchor}"


def test_every_page_is_listed() -> None:
    """Somewhere that a reader comes by: a page that nothing leads to is read by nobody."""
    reached = {path.resolve() for page in PAGES for path, _ in links(page)}
    reached |= {path for folder in reached if folder.is_dir() for path in folder.iterdir()}
    assert not set(PAGES) - reached
