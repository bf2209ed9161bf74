"""The end of a run: shards put together, known failures replayed, reports written, told in text."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.discovery import system_by_name
from conformance.known_failures import Known, read_known
from conformance.make_counterexample import counterexample_of
from conformance.profiles import SHARDS
from conformance.registry import make_target
from conformance.run import Found, SystemRun, read_spool, result_of, write_reports
from conformance.targets.protocol import Target, TargetUnavailable
from reports import terminal
from reports.counterexample import Counterexample
from reports.reproduce import replay_lines, run_line
from reports.result import Result, SystemResult
from reports.telling import WIDTH

MOST_PAIRS = 8
"""Pairs of operation and state that are named, of those not reached; the result has them all."""

MOST_TOLD = 12
"""Counterexamples that are told in full, one for each rule; the others are in the summary."""

New = tuple[SystemRun, Found, Counterexample]
"""A new finding with its counterexample, and the run of its system."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a run.

    ``failed``: new violations, or a stale known failure. ``unwritten``: why there are no
    reports although they were asked for.
    """

    text: str
    failed: bool
    result: Result
    unwritten: str = ""


def close_run(option: Any, interrupted: bool) -> Closing:
    """Put the spool of a run together by pytest's options; write and tell what came of it.

    ``interrupted``: whether the user broke it off.
    """
    runs = read_spool(Path(option.mmu_spool), option.mmu_system, SHARDS)
    targets: dict[str, Target] = {}
    try:
        for name in option.mmu_system:
            targets[name] = make_target(option.mmu_target, option.mmu_kernel, system=name)
    except TargetUnavailable as error:
        whole = result_of(
            runs, option.mmu_target, "unavailable", option.mmu_seed, option.mmu_profile
        )
        return Closing(f"Nothing was judged. {error}\n", False, whole)
    complete = all(run.complete for run in runs)
    problems: list[str] = []
    news: list[str] = []
    if complete:
        problems, news = _replay_known(option.mmu_known, targets, runs, option.mmu_seed)
    names = dict.fromkeys(target.name for target in targets.values())
    versions = dict.fromkeys(target.version for target in targets.values())
    whole = result_of(
        runs, "; ".join(names), "; ".join(versions), option.mmu_seed, option.mmu_profile
    )
    unwritten = ""
    if option.mmu_report_dir:
        try:
            write_reports(Path(option.mmu_report_dir), whole, runs, option.mmu_kernel, problems)
        except OSError as error:
            unwritten = f"report-dir is {option.mmu_report_dir!r}, which cannot be written: {error}"
    for target in targets.values():
        target.close()
    failed = bool(whole.violations) or bool(problems)
    report_dir = None if unwritten else option.mmu_report_dir
    so_far = ""
    if not whole.complete:
        # A part that was not chosen (-k), or not run after a failure (-x), is missing as well.
        so_far = f"{'INTERRUPTED' if interrupted else 'INCOMPLETE'}, so far: "
    verdict = so_far + _verdict(whole, problems)
    told_all = told(whole, runs, problems, news, verdict, report_dir, option)
    return Closing(told_all, failed, whole, unwritten)


def _replay_known(
    paths: Sequence[str], targets: Mapping[str, Target], runs: Sequence[SystemRun], seed: int
) -> tuple[list[str], list[str]]:
    """Replay the witnesses of known failures: what is wrong with them, and what is new."""
    problems: list[str] = []
    news: list[str] = []
    by_system = {run.system.name: run for run in runs}
    for path in paths:
        for entry in read_known(path):
            run, target = by_system.get(entry.system), targets.get(entry.system)
            if run is None or target is None or not entry.concerns(target):
                continue
            shown = entry.shows(target)
            if entry.covers(target):
                problems += _not_shown(entry, shown)
                for identity in shown:
                    whole = counterexample_of(
                        system_by_name(entry.system),
                        target,
                        entry.witness,
                        identity,
                        seed,
                        repaired=False,
                    )
                    run.found[identity] = Found(*identity, "", whole, entry.name)
            elif not shown:
                news.append(
                    f"fixed in {target.version}: {entry.rule} {entry.signature!r} of {entry.source}"
                )
            else:
                problems += [
                    f"{rule} {signature!r} of {entry.source} fails on this version "
                    "too, outside the range that the entry gives"
                    for rule, signature in shown
                    if (rule, signature) not in run.found
                ]
    return problems, news


def _not_shown(entry: Known, shown: Sequence[tuple[str, str]]) -> list[str]:
    """What is wrong with an entry whose witness does not show all that it covers."""
    if not shown:
        return [
            f"stale: {entry.rule} {entry.signature!r} of {entry.source} does not fail "
            "any more, though its range of versions says so"
        ]
    return [
        f"too wide: {entry.rule} {entry.signature!r} of {entry.source} covers "
        f"{signature!r}, which its witness does not show"
        for rule, signature in entry.identities
        if (rule, signature) not in shown
    ]


# -- in words ---------------------------------------------------------------------------------


def told(
    whole: Result,
    runs: Sequence[SystemRun],
    problems: Sequence[str],
    news: Sequence[str],
    verdict: str,
    report_dir: str | None,
    option: Any,
) -> str:
    """The end of a run in words; ``option``: pytest's, with which it was run."""
    lines = [f"target    {whole.target_name}: {whole.target_version}"]
    for system in whole.systems:
        lines += _system_lines(system)
    for run in runs:
        if run.unstable:
            lines.append(
                f"unstable  {run.unstable} rounds broke off: the target did something else when "
                "the same operations were repeated"
            )
        lines += [
            f"found     {found.rule} {found.signature}: not met again when the same operations "
            "were repeated, so without a counterexample"
            for found in sorted(run.found.values(), key=lambda one: (one.rule, one.signature))
            if found.counterexample is None
        ]
    lines += [f"news      {one}" for one in news]
    lines += [f"problem   {problem}" for problem in problems]
    known = [identity for identity in whole.identities if identity.known]
    for identity in known:
        lines.append(
            f"known     {identity.rule} {identity.signature} ({identity.known}; "
            f"met {identity.hits} times)"
        )
    text = "\n".join(lines) + "\n"
    news_of = [
        (run, found, found.counterexample)
        for run in runs
        for found in sorted(run.found.values(), key=lambda one: (one.rule, one.signature))
        if not found.known and found.counterexample is not None
    ]
    for run, example in _told_in_full(news_of):
        if report_dir:
            commands = replay_lines(example, _file(report_dir, example), option.mmu_kernel)
        else:
            commands = [_again(option, run.system.name)]
        text += "\n" + terminal.tell(example, vocabulary=run.system.vocabulary, commands=commands)
    if news_of:
        text += "\n" + _summary(whole, news_of, report_dir)
    if news_of and not report_dir:
        text += "\nNo files were written: the run above keeps the counterexamples, for replay.\n"
    return f"{text}\n{verdict}\n"


def _told_in_full(news: Sequence[New]) -> list[tuple[SystemRun, Counterexample]]:
    """Of each rule that is broken the shortest counterexample, at most MOST_TOLD."""
    shortest: dict[tuple[str, str], tuple[SystemRun, Counterexample]] = {}
    for run, found, example in news:
        before = shortest.get((run.system.name, found.rule))
        if before is None or len(example.operations) < len(before[1].operations):
            shortest[run.system.name, found.rule] = (run, example)
    return list(shortest.values())[:MOST_TOLD]


def _summary(whole: Result, news: Sequence[New], report_dir: str | None) -> str:
    """Every finding in a few lines."""
    hits = {(one.system, one.rule, one.signature): one.hits for one in whole.violations}
    lines = ["Findings", "--------"]
    for run, found, example in news:
        count, met = len(example.operations), hits[run.system.name, found.rule, found.signature]
        lines.append(f"{found.rule:<6} {found.signature}")
        lines += textwrap.wrap(
            example.views.message,
            WIDTH,
            initial_indent=" " * 7,
            subsequent_indent=" " * 7,
            break_on_hyphens=False,
        )
        lines.append(
            f"{'':7}{count} operation{'s' if count > 1 else ''}, met {met} time"
            f"{'s' if met != 1 else ''}{f': {_file(report_dir, example)}' if report_dir else ''}"
        )
    return "\n".join(lines) + "\n"


def _file(report_dir: str, example: Counterexample) -> str:
    return str(Path(report_dir) / "counterexamples" / example.file_name)


def _again(option: Any, system: str) -> str:
    """The run that finds the same, and writes it to files."""
    settings = (
        ("--profile", option.mmu_profile),
        ("--examples", option.mmu_examples),
        ("--steps", option.mmu_steps),
        ("--seed", option.mmu_seed),
    )
    return run_line(system, option.mmu_target, option.mmu_kernel, settings)


def _system_lines(system: SystemResult) -> list[str]:
    lines = [
        f"system    {system.system}: {system.examples} examples, {system.steps} operations "
        f"({system.median_steps} in the median example), {system.changing_share:.0%} changed state"
    ]
    for name, count in sorted(system.operations.items()):
        lines.append(
            f"          {name:<14}{count.count:>9}  changed {_share(count.changed, count.count)}  "
            f"refused {_share(count.refused, count.count)}  "
            f"misuse {_share(count.misuse, count.count)}"
        )
    cells = [
        f"{rule} {count.checked}" + (f" ({count.violated} violated)" if count.violated else "")
        for rule, count in system.rules.items()
    ]
    lines.append("checked   " + ", ".join(cells))
    if system.vacuous:
        lines.append(f"vacuous   {', '.join(system.vacuous)}: never exercised in this run")
    if system.unreached:
        lines.append(f"unreached {_some(system.unreached)}: nothing changed there in this run")
    return lines


def _some(pairs: Sequence[str]) -> str:
    """The first of the pairs that were not reached, and how many more there are."""
    more = len(pairs) - MOST_PAIRS
    return ", ".join(pairs[:MOST_PAIRS]) + (f" and {more} more" if more > 0 else "")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:>4.0%}" if whole else "   -"


def _verdict(whole: Result, problems: Sequence[str]) -> str:
    rules = sum(len(system.rules) for system in whole.systems)
    fresh = len(whole.violations)
    known = len(whole.identities) - fresh
    if fresh:
        verdict = f"{fresh} VIOLATION{'S' if fresh > 1 else ''}"
    elif problems:
        verdict = "KNOWN FAILURES HAVE CHANGED"
    else:
        verdict = f"EVERY RULE HELD ({rules} rules)"
    if known:
        verdict += f", {known} known failure{'s' if known > 1 else ''}"
    return f"{verdict} on {whole.target_name}, seed {whole.seed}"
