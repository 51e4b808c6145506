"""What was measured, as a table for people and as JSON for everything else."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. ``ratio`` is ours to theirs, or the figure that has the ``target``.

    ``met`` is whether the target holds, ``None`` where there is none.
    """

    scenario: str
    ours: str
    peer: str
    theirs: str
    ratio: float | None = None
    target: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Report:
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows.append(row)

    def as_json(self) -> str:
        content = {"machine": machine(), "rows": [asdict(row) for row in self.rows]}
        return json.dumps(content | {"notes": self.notes}, indent=2)

    def as_page(self, command: str) -> str:
        """The page of the documentation."""
        return PAGE.format(command=command, table=self.as_table().rstrip(), **machine())

    def as_table(self) -> str:
        head = ("Scenario", "mirror", "peer", "peer's", "ratio", "target", "met")
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        rendered = [_line(line, widths) for line in lines]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([rendered[0], rule, *rendered[1:], "", *self.notes])


PAGE = """# Benchmarks

Made by `{command}`. Everything ran on one machine and in alternation, the load program beside the
servers: take the ratios, not the figures. The mirror writes its access log, the peers do not.
Distribution runs as a pull-through cache; nginx serves the same bytes as static files and stands
for what the machine can do.

Machine: {cores} cores, {processor}, Python {python}, Linux {kernel}.

{table}

## How to read it

- *Cached manifest*: wrk, one thread, 32 connections. By tag, the mirror answers within the tag's
  freshness, while distribution asks its upstream every time.
- *Cached blob*: wrk, one thread, 4 connections, one blob of 50 MB.
- *Cold blob*: one client, an upstream that sends 50 MB/s, each blob asked for once directly and
  once through the mirror.
- *200 clients*: all at once for a tag, then all at once for a blob that nobody has yet. The tag
  costs one HEAD, which is free on Docker Hub, and one GET of its manifest.
- *Never read*: 300 connections that ask for a blob and take nothing. Kernel buffers are those of
  both ends.
- *1,000,000 cached blobs*: rows of a million blobs in the metadata, without their files. The pass
  frees what the default watermark asks for, while a client pulls.
- *Push*: distribution runs as a registry. A layer goes up as docker sends it (POST, one streamed
  PATCH, PUT), always one that nobody has yet; small images have a config and two layers of 10 KB.
  Both servers sync their files to disk before they answer 201.
"""


def machine() -> Mapping[str, str]:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cores": str(os.cpu_count()),
        "processor": model,
        "python": platform.python_version(),
        "kernel": platform.release().split("-")[0],
    }


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    met = {None: "", True: "yes", False: "NO"}[row.met]
    return (row.scenario, row.ours, row.peer, row.theirs, ratio, row.target, met)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f" {cell:<{width}} " for cell, width in zip(cells, widths, strict=True))
    return "|" + "|".join(padded) + "|"
