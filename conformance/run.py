"""A whole run: what its shards left in a folder, put together and written as reports.

Every shard writes what it has so far into the run's *spool*, a folder, whole files
only. So nothing is lost when a run is interrupted or a worker dies, progress can be
shown while it goes on, and it does not matter how many workers there are.
"""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from conformance.discovery import system_by_name
from conformance.engine import Finding, ShardResult
from conformance.make_counterexample import counterexample_of
from conformance.system import System
from conformance.tally import OperationCount, StateCount, Tally
from conformance.targets.protocol import Target
from reference.build_check import build_info
from reports import counterexample as counterexamples
from reports import files, html, result, terminal
from reports.counterexample import Counterexample
from reports.reproduce import replay_lines
from reports.result import Identity, Result, RuleCount, SystemResult


@dataclass(slots=True)
class Found:
    """One identity of a run: its best counterexample, and whether it is a known failure."""

    rule: str
    signature: str
    label: str
    counterexample: Counterexample | None
    known: str = ""


@dataclass(slots=True)
class SystemRun:
    """What all shards of one system did and found.

    ``unstable``: rounds that ended because the target was not deterministic.
    """

    system: System
    tally: Tally = field(default_factory=Tally)
    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    complete: bool = True
    unstable: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


# -- the spool --------------------------------------------------------------------------------


def write_shard(
    spool: Path, system: System, target: Target, shard: ShardResult, seed: int, seconds: float
) -> None:
    """Put what a shard has so far into the spool, in place of what it put there before."""
    files.write_json(
        spool / f"{system.name}-{shard.shard}.json",
        {
            "system": system.name,
            "shard": shard.shard,
            "complete": shard.complete,
            "rounds": shard.rounds,
            "unstable": shard.unstable,
            "seconds": seconds,
            "tally": asdict(shard.tally),
            "findings": [
                _finding_json(system, target, finding, seed, shard.complete)
                for finding in shard.findings.values()
            ],
        },
    )


def _finding_json(
    system: System, target: Target, finding: Finding, seed: int, complete: bool
) -> Mapping[str, object]:
    violation = finding.violation
    whole = finding.counterexample
    if whole is None:
        # Not minimised yet, a longer one is better than none if the run is interrupted now.
        whole = counterexample_of(
            system, target, finding.operations, violation.identity, seed,
            repaired=finding.minimal or complete,
        )  # fmt: skip
        if finding.minimal:
            finding.counterexample = whole
    return {
        "rule": violation.rule,
        "signature": violation.signature,
        "label": violation.label,
        "message": violation.message,
        "counterexample": None if whole is None else counterexamples.to_json(whole),
    }


def read_spool(spool: Path, system_names: Sequence[str], shards: int) -> list[SystemRun]:
    """Put together what the shards of each system left; missing ones make it incomplete."""
    runs = []
    for name in system_names:
        run = SystemRun(system_by_name(name))
        for shard in range(shards):
            path = spool / f"{name}-{shard}.json"
            if not path.exists():
                run.complete = False
                continue
            data = json.loads(path.read_text(encoding="utf-8"))
            run.complete = run.complete and data["complete"]
            run.unstable += data["unstable"]
            run.seconds[f"{name}-{shard}"] = data["seconds"]
            run.tally.add(_tally(data["tally"]))
            for one in data["findings"]:
                _add_finding(run, one)
        runs.append(run)
    return runs


def _tally(data: Mapping[str, object]) -> Tally:
    tally = Tally(**data)  # type: ignore[arg-type]
    tally.operations = {
        name: OperationCount(**counts)  # type: ignore[arg-type]
        for name, counts in tally.operations.items()
    }
    tally.states = {
        name: {word: StateCount(**counts) for word, counts in states.items()}  # type: ignore[arg-type]
        for name, states in tally.states.items()
    }
    return tally


def _states(run: SystemRun) -> dict[str, dict[str, result.StateCount]]:
    """What was counted of each pair that the system declares."""
    none = StateCount()
    return {
        name: {
            word: result.StateCount(**asdict(run.tally.states.get(name, {}).get(word, none)))
            for word in words
        }
        for name, words in run.system.states.pairs.items()
    }


def _add_finding(run: SystemRun, data: Mapping[str, object]) -> None:
    """Keep the shortest counterexample of an identity; among equals the first by its text."""
    identity = (str(data["rule"]), str(data["signature"]))
    whole = data["counterexample"]
    example = None if whole is None else counterexamples.from_json(whole)
    before = run.found.get(identity)
    if before is None:
        run.found[identity] = Found(*identity, str(data["label"]), example)
    elif example is not None and (
        before.counterexample is None or _size(example) < _size(before.counterexample)
    ):
        before.counterexample = example
        before.label = str(data["label"])


def _size(example: Counterexample) -> tuple[int, int, str]:
    text = json.dumps([dict(one) for one in example.operations], sort_keys=True)
    return len(example.operations), len(text), text


# -- the result -------------------------------------------------------------------------------


def result_of(
    runs: Sequence[SystemRun],
    target_name: str,
    target_version: str,
    seed: int,
    profile: str,
    not_applicable: Sequence[str] = (),
) -> Result:
    """The result of a run, as ``result.json`` has it."""
    return Result(
        target_name=target_name,
        target_version=target_version,
        seed=seed,
        profile=profile,
        complete=all(run.complete for run in runs),
        versions={
            "hypothesis": importlib.metadata.version("hypothesis"),
            "mypyc": build_info().mypyc or "",
        },
        systems=tuple(_system_result(run, not_applicable) for run in runs),
    )


def _system_result(run: SystemRun, not_applicable: Sequence[str]) -> SystemResult:
    tally = run.tally
    rules = {
        rule.id: RuleCount(
            tally.checked.get(rule.id, 0),
            tally.violated.get(rule.id, 0),
            tally.silent.get(rule.id, {}),
        )
        for rule in run.system.rules
    }
    return SystemResult(
        system=run.system.name,
        examples=tally.examples,
        steps=tally.steps,
        median_steps=tally.median_steps(),
        rules=rules,
        operations={
            name: result.OperationCount(**asdict(counts))
            for name, counts in tally.operations.items()
        },
        states=_states(run),
        not_applicable=tuple(rule for rule in not_applicable if rule in rules),
        identities=tuple(
            Identity(
                system=run.system.name,
                rule=found.rule,
                signature=found.signature,
                label=found.label,
                hits=tally.hits.get(f"{found.rule} {found.signature}", 0),
                cut_short=tally.cut.get(f"{found.rule} {found.signature}", 0),
                counterexample=""
                if found.counterexample is None
                else f"counterexamples/{found.counterexample.file_name}",
                known=found.known,
            )
            for found in sorted(run.found.values(), key=lambda one: (one.rule, one.signature))
        ),
    )


def write_reports(
    folder: Path,
    whole: Result,
    runs: Sequence[SystemRun],
    kernel: str | None = None,
    problems: Sequence[str] = (),
) -> None:
    """Write result.json, timing.json, junit.xml, index.html, and each counterexample with its page.

    ``kernel``: the tree that linux: targets were built of, if it was named. ``problems``: what is
    wrong with known failures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tellings: dict[tuple[str, str, str], str] = {}
    pages: dict[tuple[str, str, str], html.Page] = {}
    seconds: dict[str, float] = {}
    wanted: set[str] = set()
    for run in runs:
        seconds.update(run.seconds)
        for found in run.found.values():
            if found.counterexample is None:
                continue
            name = found.counterexample.file_name
            wanted.add(name)
            path = folder / "counterexamples" / name
            path.parent.mkdir(exist_ok=True)
            counterexamples.save(found.counterexample, path)
            identity = (run.system.name, found.rule, found.signature)
            words = run.system.vocabulary
            lines = replay_lines(found.counterexample, f"counterexamples/{name}", kernel)
            tellings[identity] = terminal.tell(
                found.counterexample, vocabulary=words, commands=lines
            )
            page = path.with_suffix(".html")
            files.write_text(
                page,
                html.tell(
                    found.counterexample, vocabulary=words, commands=lines, index="../index.html"
                ),
            )
            pages[identity] = html.Page(
                f"counterexamples/{page.name}", found.counterexample.views.message
            )
    # A counterexample of an earlier run into the same folder must not look like one of this.
    for path in (folder / "counterexamples").glob("*.json"):
        if path.name not in wanted and counterexamples.is_counterexample(path):
            path.unlink()
            path.with_suffix(".html").unlink(missing_ok=True)
    result.write_result(whole, folder / "result.json")
    model = "compiled" if build_info().compiled else "interpreted"
    result.write_timing(seconds, model, folder / "timing.json")
    result.write_junit(whole, tellings, folder / "junit.xml", problems)
    files.write_text(folder / "index.html", html.index(whole, pages))
