"""How long it takes a run to find each seeded bug: examples and operations to the first violation.

``nox -s time-to-first`` runs this with the installed distribution. Each mutant is run once for each
seed, up to the first violation of its own rule. What was measured is kept in a file after each run
(``--kept``), so that it can be broken off and goes on from there; the page has what there is.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from conformance.discovery import system_by_name
from conformance.engine import Plan, ShardResult, run_shard
from conformance.kill import PARTS, STEPS, subset
from conformance.mutants.mutant import Mutant
from conformance.registry import (
    all_mutants,
    catalogue_of,
    catalogues,
    mutant_by_id,
    mutant_target,
)
from reports import files

SEEDS = 10
"""Seeds that a mutant is run with, unless others are asked for."""

NOT_FOUND = [-1, -1]
"""In place of examples and operations where the rule found nothing."""

Kept = dict[str, dict[str, list[int]]]
"""Examples and operations by mutant and seed."""

HEAD = """<!-- Written by python benchmarks/time_to_first.py --docs; measured, and not checked. -->

# Time to the first violation

How many examples, and operations in them, a run needs until the rule of a [mutant](mutants.md)
finds it first: the median over the seeds that it was measured with, and the worst of them. Where
nothing was found, as many examples were run as a mutant gets at most, and it counts as the worst.
The largest number of a system is the one to bring down: it is what a bug may cost before a run
sees it.

`nox -s time-to-first` measures it, and goes on where it was broken off.
"""


class Enough(Exception):
    """The rule has found something."""


def first_violation(mutant: Mutant, seed: int) -> list[int]:
    """(examples, operations) up to the first violation of a mutant's rule; NOT_FOUND."""
    name = catalogue_of(mutant).system
    examples = catalogues()[name].examples * PARTS
    seen: list[int] = []

    def progress(result: ShardResult) -> None:
        if any(rule == mutant.rule for rule, _ in result.findings):
            seen[:] = [result.tally.examples, result.tally.steps]
            raise Enough

    plan = Plan(seed, examples, STEPS, 1, minimise_executions=0)
    try:
        run_shard(system_by_name(name), mutant_target([mutant], name), plan, 0, None, progress)
    except Enough:
        return seen
    return list(NOT_FOUND)


def measure(
    mutants: Sequence[Mutant], seeds: int, kept: Kept, file: Path | None, until: float
) -> None:
    """Run what is not kept yet, seed by seed, and keep it; until the clock says ``until``."""
    for seed in range(seeds):
        for mutant in mutants:
            of_it = kept.setdefault(mutant.id, {})
            if str(seed) in of_it:
                continue
            if time.monotonic() >= until:
                return
            of_it[str(seed)] = first_violation(mutant, seed)
            if file is not None:
                files.write_json(file, kept)
            print(f"{mutant.id:<40} seed {seed}: {of_it[str(seed)]}", flush=True)


def page(kept: Kept) -> str:
    """The page, a table for each system, the slowest first."""
    text = HEAD
    for system, catalogue in catalogues().items():
        rows = [
            (_numbers(list(kept[one.id].values())), one)
            for one in catalogue.mutants
            if kept.get(one.id)
        ]
        if not rows:
            continue
        rows.sort(key=lambda row: (-row[0]["worst"], row[1].id))
        text += (
            f"\n## {system}\n\n| mutant | rule | seeds | not found | examples, median | worst "
            "| operations, median | worst |\n|---|---|---|---|---|---|---|---|\n"
        )
        text += "".join(_row(numbers, mutant) for numbers, mutant in rows)
    return text


def _numbers(runs: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What the runs of a mutant came to; one that found nothing is beyond all others."""
    examples = [float("inf") if one < 0 else one for one, _ in runs]
    operations = [float("inf") if one < 0 else one for _, one in runs]
    return {
        "seeds": len(runs),
        "lost": sum(one < 0 for one, _ in runs),
        "middle": median(examples),
        "worst": max(examples),
        "operations": median(operations),
        "most": max(operations),
    }


def _row(numbers: Mapping[str, Any], mutant: Mutant) -> str:
    cells = [_figure(numbers[one]) for one in ("middle", "worst", "operations", "most")]
    lost = numbers["lost"] or ""
    return f"| {mutant.id} | {mutant.rule} | {numbers['seeds']} | {lost} | {' | '.join(cells)} |\n"


def _figure(value: float) -> str:
    return "-" if value == float("inf") else f"{value:,.0f}"


def main(arguments: Sequence[str]) -> int:
    """Measure, and write what there is; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="mutants (default: all)")
    parser.add_argument("--subset", action="store_true", help="one for each rule and known bug")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing later")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="what was measured; goes on")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the page of the docs")
    options = parser.parse_args(arguments)
    try:
        mutants = [mutant_by_id(one) for one in options.ids] or list(all_mutants())
    except ValueError as error:
        parser.error(str(error))
    if options.subset:
        mutants = subset(mutants)
    kept: Kept = {}
    if options.kept is not None and options.kept.exists():
        kept = json.loads(options.kept.read_text("utf-8"))
    until = time.monotonic() + 60 * options.minutes
    try:
        measure(mutants, options.seeds, kept, options.kept, until)
    except KeyboardInterrupt:
        print("broken off: what was measured is kept", file=sys.stderr)
    if options.docs is not None:
        files.write_text(options.docs, page(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
