"""Runs mutants, says for each whether its rule alone found it, and writes the kill table.

``python -m conformance.kill [IDS...]`` runs all mutants, or those named;
``--subset`` one for each rule, and those modelled on a known bug. Exits 1 if one was not
killed.

A mutant is killed when a run finds its rule and no other, its edit was executed both
in the run, all of it, and by the minimised counterexample, and nothing that the run found fails on
the driver without the edit.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from conformance.discovery import system_by_name
from conformance.engine import Finding, Plan, run_shard
from conformance.minimise import minimise
from conformance.mutants.mutant import Mutant
from conformance.mutants.target import MutantTarget
from conformance.registry import (
    all_mutants,
    catalogue_of,
    catalogues,
    mutant_by_id,
    mutant_target,
    reference_target,
)
from conformance.system import System
from conformance.targets.protocol import Target
from reference.operations import Operation, text

PARTS = 12
"""Parts of a run at most: the others are tried only while nothing is found."""

STEPS = 30
"""Draws of one example."""

MINIMISE_EXECUTIONS = 600
"""Candidates that minimising one counterexample may run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run of one mutant came to.

    ``rules``: each rule that found something, and how many identities; ``executed``: how
    often the edit was executed; ``witness``: the minimised operations, in words, ``shown``
    whether they execute the edit; ``clean``: whether nothing that was found fails on the
    driver without the edit; ``examples`` and ``seconds``: what the run took.
    """

    mutant: str
    rule: str
    rules: dict[str, int]
    executed: int
    witness: tuple[str, ...]
    shown: bool
    clean: bool
    examples: int
    seconds: float

    @property
    def others(self) -> tuple[str, ...]:
        """The rules besides the mutant's own that found something."""
        return tuple(rule for rule in self.rules if rule != self.rule)

    @property
    def killed(self) -> bool:
        """Whether the mutant counts as found by its rule alone."""
        return self.rule in self.rules and not self.others and self.shown and self.clean

    @property
    def reason(self) -> str:
        """Why the mutant does not count as killed; "" if it does."""
        if not self.executed:
            return "the edit was never executed"
        if self.rule not in self.rules:
            return f"{self.rule} found nothing"
        if self.others:
            return f"found by {', '.join(self.others)} too"
        if not self.shown:
            return "the minimised counterexample does not execute the edit"
        if not self.clean:
            return "a counterexample fails without the edit"
        return ""


def run_mutant(
    mutant: Mutant,
    examples: int = 0,
    parts: int = PARTS,
    seed: int = 0,
    system_name: str = "",
) -> Verdict:
    """Run one mutant: ``examples``, and up to ``parts`` times as many while nothing fails.

    ``examples``: 0 for as many as its catalogue says; ``system_name``: whose driver it is an
    edit of; "" for that of its catalogue.
    """
    system = system_by_name(system_name or catalogue_of(mutant).system)
    examples = examples or catalogues()[system.name].examples
    started = time.monotonic()
    target = mutant_target([mutant], system.name)
    # Minimising is left for the end: one counterexample of the mutant's rule is enough.
    plan = Plan(seed, examples * parts, STEPS, parts, minimise_executions=0)
    found: dict[tuple[str, str], Finding] = {}
    done = 0
    for part in range(parts):
        result = run_shard(system, target, plan, part)
        done += result.tally.examples
        found.update(result.findings)
        if found:
            break
    executed, _ = target.executed(mutant.id)
    rules: dict[str, int] = {}
    for rule_id, _ in found:
        rules[rule_id] = rules.get(rule_id, 0) + 1
    witness = _witness(system, target, mutant, found)
    reference = reference_target(system.name)
    tried = [*(finding.operations for finding in found.values()), witness]
    return Verdict(
        mutant.id,
        mutant.rule,
        {rule.id: rules[rule.id] for rule in system.rules if rule.id in rules},
        executed,
        tuple(text(operation, system.specs) for operation in witness),
        executed > 0 and _executes(system, mutant, witness),
        all(passes(system, reference, operations) for operations in tried),
        done,
        time.monotonic() - started,
    )


def _witness(
    system: System, target: MutantTarget, mutant: Mutant, found: dict[tuple[str, str], Finding]
) -> list[Operation]:
    """The shortest counterexample of the mutant's rule, minimised; none if there is none."""
    own = [finding for finding in found.values() if finding.violation.rule == mutant.rule]
    if not own:
        return []
    first = min(own, key=lambda finding: (len(finding.operations), finding.violation.signature))
    operations = minimise(
        system, target, first.operations, first.violation.identity, MINIMISE_EXECUTIONS
    )
    return first.operations if operations is None else operations


def _executes(system: System, mutant: Mutant, operations: Sequence[Operation]) -> bool:
    """Whether these operations reach the mutant's edit, in one of its places at least."""
    target = mutant_target([mutant], system.name)
    passes(system, target, operations)
    return max(target.executed(mutant.id)) > 0


def passes(system: System, target: Target, operations: Sequence[Operation]) -> bool:
    """Whether no rule is broken when ``operations`` run on ``target``, destroying included."""
    session = system.session(target, None, None)
    for operation in operations:
        if session.run(operation).violations:
            return False
    outcome = session.finish()
    return outcome is None or not outcome.violations


def run_all(
    mutants: Sequence[Mutant],
    examples: int = 0,
    seed: int = 0,
    processes: int = 0,
    progress: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Run mutants, in as many processes (0: in this one); the verdicts in the mutants' order.

    ``examples``: for each of them; 0 for as many as its catalogue says.
    """
    verdicts: dict[str, Verdict] = {}
    if processes <= 0:
        for mutant in mutants:
            verdict = verdicts[mutant.id] = run_mutant(mutant, examples, PARTS, seed)
            progress(verdict)
    else:
        with ProcessPoolExecutor(max_workers=processes) as pool:
            waiting = [pool.submit(_run_by_id, one.id, examples, seed) for one in mutants]
            for future in as_completed(waiting):
                verdict = future.result()
                verdicts[verdict.mutant] = verdict
                progress(verdict)
    return [verdicts[mutant.id] for mutant in mutants]


def _run_by_id(mutant_id: str, examples: int, seed: int) -> Verdict:
    return run_mutant(mutant_by_id(mutant_id), examples, PARTS, seed)


def subset(mutants: Iterable[Mutant]) -> list[Mutant]:
    """The first mutant of each rule and known bug; in the order of ``mutants``.

    A law that several systems share is tried in one of them.
    """
    chosen: list[Mutant] = []
    seen: set[str] = set()
    for mutant in mutants:
        what = {mutant.rule, mutant.known} - {""}
        if not what <= seen:
            chosen.append(mutant)
        seen |= what
    return chosen


# -- telling ----------------------------------------------------------------------------------


def told(verdict: Verdict) -> str:
    """One line on a verdict, for a terminal."""
    state = "killed" if verdict.killed else f"NOT KILLED: {verdict.reason}"
    return (
        f"{verdict.mutant:<32}{verdict.rule:<6}{verdict.examples:>6} examples"
        f"{verdict.seconds:>7.1f} s{len(verdict.witness):>4} operations  {state}"
    )


HEADING = (
    "| mutant | known bug | what is wrong | rule | killed by it alone | other rules | executed "
    "| examples | seconds | operations |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def _row(verdict: Verdict) -> str:
    """One line of the kill table."""
    mutant = mutant_by_id(verdict.mutant)
    cells = (
        mutant.id,
        mutant.known,
        mutant.story,
        mutant.rule,
        "yes" if verdict.killed else f"no: {verdict.reason}",
        ", ".join(verdict.others),
        "yes" if verdict.executed else "no",
        str(verdict.examples),
        f"{verdict.seconds:.0f}",
        str(len(verdict.witness) or ""),
    )
    return f"| {' | '.join(cells)} |"


def page(verdicts: Sequence[Verdict]) -> str:
    """The kill table as a Markdown page."""
    killed = sum(verdict.killed for verdict in verdicts)
    lines = [
        "<!-- Written by python -m conformance.kill --out: change the mutants. -->",
        "",
        "# Mutants",
        "",
        "A mutant is the reference driver with one seeded bug. It names the rule that has to find "
        "it. It is killed when that rule alone finds something, the edited lines were executed, "
        "and what was found passes on the driver without the edit. Known bugs of real drivers "
        "that a mutant is modelled on are named.",
        "",
        f"{len(verdicts)} mutants, {killed} killed. Written by "
        "`python -m conformance.kill --out docs/mutants.md`; `mmu-conformance run --target "
        "mutant:ID` runs one as a target.",
        "",
    ]
    for system, catalogue in catalogues().items():
        of_it = {mutant.id for mutant in catalogue.mutants}
        rows = [_row(verdict) for verdict in verdicts if verdict.mutant in of_it]
        if rows:
            lines += [f"## System `{system}`", "", *HEADING, *rows, ""]
    lines += ["## Not here", ""]
    for catalogue in catalogues().values():
        lines += [f"- {catalogue.system}, {bug}: {why}" for bug, why in catalogue.not_here.items()]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """The command; its exit status: 0 all killed, 1 not, 2 bad arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.kill",
        description="Run mutants of the reference driver; exit 1 if one is not killed.",
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="mutants to run (default: all)")
    parser.add_argument("--system", choices=catalogues(), help="only mutants of this system")
    parser.add_argument("--subset", action="store_true", help="one for each rule and known bug")
    parser.add_argument(
        "--examples", type=int, help="examples for each mutant (default: as its catalogue says)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", "--processes", type=int, default=0, help="processes (0: this one)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the kill table as Markdown")
    parser.add_argument("--show", action="store_true", help="print the minimised operations too")
    chosen = parser.parse_args(arguments)
    if chosen.examples is not None and chosen.examples < 1:
        parser.error(f"examples is {chosen.examples}; allowed are 1 and above")
    try:
        mutants = [mutant_by_id(one) for one in chosen.ids] or list(all_mutants())
    except ValueError as error:
        parser.error(str(error))
    if chosen.system:
        mutants = [one for one in mutants if catalogue_of(one).system == chosen.system]
    if chosen.subset:
        mutants = subset(mutants)

    def progress(verdict: Verdict) -> None:
        print(told(verdict), flush=True)
        if chosen.show:
            for line in verdict.witness:
                print(f"    {line}", flush=True)

    verdicts = run_all(mutants, chosen.examples or 0, chosen.seed, chosen.processes, progress)
    killed = sum(verdict.killed for verdict in verdicts)
    print(f"{len(verdicts)} mutants, {killed} killed")
    if chosen.out:
        chosen.out.write_text(page(verdicts), encoding="utf-8")
    return 0 if killed == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
