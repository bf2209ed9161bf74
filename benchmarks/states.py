"""Writes the page of operations and states: how often each changed anything in an ordinary run.

``nox -s states`` runs the default profile on the reference and then this; by hand it is

    mmu-conformance run --report-dir found
    python benchmarks/states.py found/result.json --docs docs/states.md

Several results may be given, each for some of the systems. It fails, after it has written the page,
if a pair is below what is enough and not argued, or argued and not below it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.discovery import SYSTEMS
from conformance.states import ENOUGH, States
from reports import files

HEAD = f"""# Operations and states

What an operation does depends on what it meets: pages of which size, something sparse, a table that
others use, a device that does not answer. Each system declares such pairs of an operation and a
state in which it can change something (`conformance/systems/X/states.py`), and a run counts them:
how often an operation met the state, and how often it changed anything then. Pairs in which nothing
ever changed are named at the end of a run, and stand in `result.json` under `unreached`.

These are the counts of an ordinary run, on the reference. None is below {ENOUGH}, but for those
that are argued. `nox -s states` measures them anew.
"""


def main(arguments: Sequence[str]) -> int:
    """Write the page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="result.json of runs")
    parser.add_argument("--docs", type=Path, required=True, metavar="FILE", help="the page")
    options = parser.parse_args(arguments)
    runs: dict[str, Mapping[str, Any]] = {}
    for path in options.results:
        result = json.loads(path.read_text("utf-8"))
        for name, system in result["systems"].items():
            runs[name] = {**system, "seed": result["seed"], "profile": result["profile"]}
    files.write_text(options.docs, page(runs))
    wrong = [
        f"{name}: {one}"
        for name, run in sorted(runs.items())
        for one in starved(SYSTEMS[name].states, run["states"])
    ]
    for one in wrong:
        print(one, file=sys.stderr)
    return 1 if wrong else 0


def page(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, a table for each system."""
    text = HEAD
    for name, run in sorted(runs.items()):
        text += (
            f"\n## {name}\n\nProfile {run['profile']}, seed {run['seed']}: {run['examples']:,} "
            f"examples, {run['steps']:,} operations.\n\n"
            "| operation | state | changed | met | why so few |\n|---|---|---|---|---|\n"
        )
        text += "".join(rows(SYSTEMS[name].states, run["states"]))
    return text


def rows(states: States, counts: Mapping[str, Any]) -> Iterator[str]:
    """A line for each pair; what a word says stands where it comes up first."""
    said: set[str] = set()
    for name, word in states:
        count = counts[name][word]
        meaning = "" if word in said else f": {states.words[word]}"
        said.add(word)
        why = states.few.get((name, word), "")
        yield f"| {name} | `{word}`{meaning} | {count['changed']} | {count['count']} | {why} |\n"


def starved(states: States, counts: Mapping[str, Any]) -> Iterator[str]:
    """Pairs that are too few and not argued, or argued and not few."""
    for name, word in states:
        changed = counts[name][word]["changed"]
        if (changed < ENOUGH) != ((name, word) in states.few):
            yield f"{name} {word}: {changed}, {'argued' if changed >= ENOUGH else 'not argued'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
