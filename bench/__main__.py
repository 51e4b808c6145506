"""`python -m bench`: run the scenarios, print the table, keep the JSON."""

import argparse
import asyncio
import importlib
import sys
import tempfile
from pathlib import Path

from bench.report import Report
from bench.world import Thoroughness, World

SCENARIOS = ("cached", "cold", "herd", "stalled", "million", "push")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="alternations between the peers")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement by wrk")
    parser.add_argument("--json", type=Path, default=Path("bench/results/latest.json"))
    parser.add_argument("--page", type=Path, help="write the page of the documentation here")
    return parser.parse_args()


async def run(options: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="mirror-bench-") as folder:
        thoroughness = Thoroughness(options.rounds, options.seconds)
        world = World(Path(folder), thoroughness, report)
        for name in options.only or SCENARIOS:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            await importlib.import_module(f"bench.scenarios.{name}").run(world)
    return report


def main() -> int:
    options = arguments()
    report = asyncio.run(run(options))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(report.as_json(), encoding="utf-8")
    if options.page is not None:
        command = f"python -m bench --rounds {options.rounds} --seconds {options.seconds}"
        options.page.write_text(report.as_page(command), encoding="utf-8")
    print(report.as_table())
    return 0 if all(row.met is not False for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
