"""The result of a run: ``result.json``, ``timing.json`` and JUnit XML.

``result.json`` holds nothing that differs between two runs with the same seed
on the same target version: no time, no path of this machine, no host name.
Times are in ``timing.json`` alone. The JUnit file has no times either, so it
can be compared too.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reports import files

SCHEMA: Final = "mmu-conformance/result/1"
"""What the field "schema" of ``result.json`` says."""

TIMING_SCHEMA: Final = "mmu-conformance/timing/1"
"""What the field "schema" of ``timing.json`` says."""

_DIGITS: Final = 4
"""Decimals of a share: enough to see one example in ten thousand."""


def _share(part: int, whole: int) -> float:
    return round(part / whole, _DIGITS) if whole else 0.0


def _check_counts(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value < 0:
            raise ValueError(f"{name} is {value}; allowed are counts from 0")


@dataclass(frozen=True)
class RuleCount:
    """How often a rule was judged where a wrong target could have failed, and how often it did.

    ``silent``: how often it could not judge a call that it is for, by the reason.
    """

    checked: int
    violated: int
    silent: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_counts(self, "checked", "violated")


@dataclass(frozen=True)
class OperationCount:
    """How often an operation was done, and how often it was what; all are counts of calls."""

    count: int
    legal: int
    refused: int
    misuse: int
    changed: int

    def __post_init__(self) -> None:
        _check_counts(self, "count", "legal", "refused", "misuse", "changed")
        if self.legal + self.refused + self.misuse != self.count or self.changed > self.count:
            raise ValueError(
                f"legal, refused, misuse and changed are {self.legal}, {self.refused}, "
                f"{self.misuse} and {self.changed}; allowed are counts of which the first three "
                f"make up count, {self.count}, and the last is not above it"
            )


@dataclass(frozen=True)
class StateCount:
    """How often an operation met a kind of state, and how often it changed anything then."""

    count: int
    changed: int

    def __post_init__(self) -> None:
        _check_counts(self, "count", "changed")
        if self.changed > self.count:
            raise ValueError(f"changed is {self.changed}; allowed is at most count, {self.count}")


@dataclass(frozen=True)
class Identity:
    """One violation by its identity, with what became of it in the run.

    ``label`` is "" or "misuse"; ``known`` is the name of the known failure that it matched, or
    "" for a new one; ``hits`` counts how often it was met, ``cut_short`` the examples that
    ended because of it; ``counterexample`` is the file's path relative to the result, or "".
    """

    system: str
    rule: str
    signature: str
    label: str
    hits: int
    cut_short: int
    counterexample: str
    known: str = ""

    def __post_init__(self) -> None:
        _check_counts(self, "hits", "cut_short")
        if Path(self.counterexample).is_absolute():
            raise ValueError(
                f"counterexample is {self.counterexample!r}; "
                "allowed are paths relative to the result"
            )


@dataclass(frozen=True)
class SystemResult:
    """What a run did on one system. ``rules`` and ``operations`` are by name.

    ``states``: for each operation, what is declared that it can meet, by the word for it.

    ``median_steps``: operations that half of the examples do not exceed.

    ``not_applicable`` are the rules that the target's operations cannot reach; every other
    rule that was never checked is vacuous.
    """

    system: str
    examples: int
    steps: int
    rules: Mapping[str, RuleCount]
    operations: Mapping[str, OperationCount]
    not_applicable: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()
    median_steps: int = 0
    states: Mapping[str, Mapping[str, StateCount]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_counts(self, "examples", "steps", "median_steps")
        for rule in self.not_applicable:
            if rule not in self.rules:
                raise ValueError(
                    f"not_applicable names {rule!r}; allowed are {', '.join(sorted(self.rules))}"
                )
        for identity in self.identities:
            if identity.system != self.system or identity.rule not in self.rules:
                raise ValueError(
                    f"identities has one of system {identity.system!r} and rule "
                    f"{identity.rule!r}; allowed are system {self.system!r} and rules "
                    f"{', '.join(sorted(self.rules))}"
                )

    @property
    def vacuous(self) -> tuple[str, ...]:
        """The rules that apply and were never really exercised, in order of their id."""
        return tuple(
            rule
            for rule, count in sorted(self.rules.items())
            if not count.checked and rule not in self.not_applicable
        )

    @property
    def unreached(self) -> tuple[str, ...]:
        """Each operation with the word of a state in which it never changed anything."""
        return tuple(
            f"{name} {word}"
            for name, words in self.states.items()
            for word, count in words.items()
            if not count.changed
        )

    @property
    def changing_share(self) -> float:
        """The share of all steps that changed state, 0.0 to 1.0."""
        return _share(sum(count.changed for count in self.operations.values()), self.steps)


@dataclass(frozen=True)
class Result:
    """A whole run. ``complete`` is False when it was interrupted.

    ``versions`` are those of the tools that decide what the same seed does: "hypothesis" and
    "mypyc" (that of the build; "" if it left no record).
    """

    target_name: str
    target_version: str
    seed: int
    profile: str
    complete: bool
    versions: Mapping[str, str]
    systems: tuple[SystemResult, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [result.system for result in self.systems]
        if len(set(names)) != len(names):
            raise ValueError(f"systems are {names}; allowed is each once")
        if set(self.versions) != {"hypothesis", "mypyc"}:
            raise ValueError(
                f"versions are of {sorted(self.versions)}; allowed are hypothesis and mypyc"
            )

    @property
    def vacuous(self) -> tuple[str, ...]:
        """The rules that are vacuous on one system or more."""
        return tuple(sorted({rule for result in self.systems for rule in result.vacuous}))

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Every identity met, in order of system, rule and signature."""
        every = [identity for result in self.systems for identity in result.identities]
        return tuple(sorted(every, key=lambda met: (met.system, met.rule, met.signature)))

    @property
    def violations(self) -> tuple[Identity, ...]:
        """The identities that no known failure accounts for."""
        return tuple(identity for identity in self.identities if not identity.known)


# -- result.json ----------------------------------------------------------------------------


def _rules_json(rules: Mapping[str, RuleCount]) -> dict[str, object]:
    return {
        rule: {
            "checked": count.checked,
            "violated": count.violated,
            "silent": dict(sorted(count.silent.items())),
        }
        for rule, count in sorted(rules.items())
    }


def _operations_json(operations: Mapping[str, OperationCount]) -> dict[str, object]:
    return {
        name: {
            "count": count.count,
            "legal": _share(count.legal, count.count),
            "refused": _share(count.refused, count.count),
            "misuse": _share(count.misuse, count.count),
            "changed": _share(count.changed, count.count),
        }
        for name, count in sorted(operations.items())
    }


def _sum_of_rules(systems: Sequence[SystemResult]) -> dict[str, RuleCount]:
    total: dict[str, RuleCount] = {}
    for result in systems:
        for rule, count in result.rules.items():
            before = total.get(rule, RuleCount(0, 0))
            silent = dict(before.silent)
            for why, times in count.silent.items():
                silent[why] = silent.get(why, 0) + times
            total[rule] = RuleCount(
                before.checked + count.checked, before.violated + count.violated, silent
            )
    return total


def _sum_of_operations(systems: Sequence[SystemResult]) -> dict[str, OperationCount]:
    total: dict[str, OperationCount] = {}
    for result in systems:
        for name, count in result.operations.items():
            before = total.get(name, OperationCount(0, 0, 0, 0, 0))
            total[name] = OperationCount(
                before.count + count.count,
                before.legal + count.legal,
                before.refused + count.refused,
                before.misuse + count.misuse,
                before.changed + count.changed,
            )
    return total


def to_json(result: Result) -> dict[str, object]:
    """The content of ``result.json``, keys in their fixed order.

    The first level sums over the systems; "systems" has each alone.
    """
    examples = {system.system: system.examples for system in result.systems}
    return {
        "schema": SCHEMA,
        "target": {"name": result.target_name, "version": result.target_version},
        "seed": result.seed,
        "profile": result.profile,
        "examples": sum(system.examples for system in result.systems),
        "steps": sum(system.steps for system in result.systems),
        "complete": result.complete,
        "rules": _rules_json(_sum_of_rules(result.systems)),
        "vacuous": list(result.vacuous),
        "not_applicable": sorted(
            {rule for system in result.systems for rule in system.not_applicable}
        ),
        "operations": _operations_json(_sum_of_operations(result.systems)),
        "counterexamples": [
            identity.counterexample for identity in result.identities if identity.counterexample
        ],
        "identities": [
            {
                "system": identity.system,
                "rule": identity.rule,
                "signature": identity.signature,
                "label": identity.label,
                "known": identity.known,
                "hits": identity.hits,
                "examples_cut_short": _share(identity.cut_short, examples[identity.system]),
                "counterexample": identity.counterexample,
            }
            for identity in result.identities
        ],
        "systems": {
            system.system: {
                "examples": system.examples,
                "steps": system.steps,
                "median_steps": system.median_steps,
                "changed": system.changing_share,
                "rules": _rules_json(system.rules),
                "vacuous": list(system.vacuous),
                "not_applicable": sorted(system.not_applicable),
                "operations": _operations_json(system.operations),
                "states": {
                    name: {
                        word: {"count": count.count, "changed": count.changed}
                        for word, count in words.items()
                    }
                    for name, words in system.states.items()
                },
                "unreached": list(system.unreached),
            }
            for system in sorted(result.systems, key=lambda system: system.system)
        },
        "versions": {name: result.versions[name] for name in ("hypothesis", "mypyc")},
    }


def write_result(result: Result, path: str | Path) -> None:
    """Write ``result.json``, all of it or nothing; the same result gives the same bytes.

    Raises:
        OSError: the folder cannot be written.
    """
    files.write_json(path, to_json(result))


# -- timing.json ----------------------------------------------------------------------------


def write_timing(seconds: Mapping[str, float], model: str, path: str | Path) -> None:
    """Write ``timing.json``: seconds by name of the part, rounded to milliseconds.

    ``model`` says how the model was built, "compiled" or "interpreted": that decides how long a
    run takes, and nothing else.

    Raises:
        ValueError: a time below 0, or not a number.
        OSError: the folder cannot be written.
    """
    for name, value in seconds.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"seconds of {name} is {value}; allowed are times from 0")
    files.write_json(
        path,
        {
            "schema": TIMING_SCHEMA,
            "model": model,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        },
    )


# -- JUnit ----------------------------------------------------------------------------------

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("?", text)


def junit_xml(
    result: Result,
    tellings: Mapping[tuple[str, str, str], str],
    problems: Sequence[str] = (),
) -> str:
    """The run as JUnit XML: one test case for each rule of each system.

    A violated rule fails, with every telling of it in the text; a vacuous one, and one that
    does not apply, is skipped with the reason; known failures are told in the output of a
    case that passes. An interrupted run has one more case, in error.

    Args:
        result: the run.
        tellings: plain text by (system, rule, signature); without one the signature is told.
        problems: what is wrong with known failures, stale ones say; a case of its own fails with
            them.
    """
    root = ElementTree.Element("testsuites", name="mmu-conformance")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for system in sorted(result.systems, key=lambda system: system.system):
        suite = ElementTree.SubElement(root, "testsuite", name=f"mmu-conformance.{system.system}")
        counts = dict.fromkeys(totals, 0)
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (
            ("target", result.target_name),
            ("target version", result.target_version),
            ("seed", str(result.seed)),
            ("profile", result.profile),
            ("examples", str(system.examples)),
            ("steps", str(system.steps)),
        ):
            ElementTree.SubElement(properties, "property", name=name, value=_xml_text(value))
        for rule, count in sorted(system.rules.items()):
            _junit_case(suite, counts, system, rule, count, tellings)
        if not result.complete:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"mmu-conformance.{system.system}", name="complete"
            )
            ElementTree.SubElement(case, "error", message="the run was interrupted")
            counts["tests"] += 1
            counts["errors"] += 1
        for name, number in counts.items():
            suite.set(name, str(number))
            totals[name] += number
    if problems:
        suite = ElementTree.SubElement(
            root, "testsuite", name="mmu-conformance.known", tests="1", failures="1"
        )
        case = ElementTree.SubElement(
            suite, "testcase", classname="mmu-conformance.known", name="known failures"
        )
        failure = ElementTree.SubElement(case, "failure", message=_xml_text(problems[0]))
        failure.text = "\n" + _xml_text("\n".join(problems))
        totals["tests"] += 1
        totals["failures"] += 1
    for name, number in totals.items():
        root.set(name, str(number))
    ElementTree.indent(root, " ")
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _junit_case(
    suite: ElementTree.Element,
    counts: dict[str, int],
    system: SystemResult,
    rule: str,
    count: RuleCount,
    tellings: Mapping[tuple[str, str, str], str],
) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"mmu-conformance.{system.system}", name=rule
    )
    counts["tests"] += 1
    met = sorted(
        (identity for identity in system.identities if identity.rule == rule),
        key=lambda identity: identity.signature,
    )
    new = [identity for identity in met if not identity.known]
    known = [identity for identity in met if identity.known]
    if new:
        failure = ElementTree.SubElement(
            case,
            "failure",
            type=rule,
            message=_xml_text("; ".join(identity.signature for identity in new)),
        )
        failure.text = "\n" + _xml_text(
            "\n\n".join(
                tellings.get(
                    (identity.system, identity.rule, identity.signature), identity.signature
                )
                for identity in new
            )
        )
        counts["failures"] += 1
    elif rule in system.not_applicable:
        ElementTree.SubElement(
            case, "skipped", message="not applicable: no operation of the target reaches it"
        )
        counts["skipped"] += 1
    elif not count.checked:
        ElementTree.SubElement(case, "skipped", message="vacuous: never really exercised")
        counts["skipped"] += 1
    told = [f"checked {count.checked} times"]
    told += [
        f"known failure {identity.known}, met {identity.hits} times: {identity.signature}"
        for identity in known
    ]
    ElementTree.SubElement(case, "system-out").text = _xml_text("\n".join(told))


def write_junit(
    result: Result,
    tellings: Mapping[tuple[str, str, str], str],
    path: str | Path,
    problems: Sequence[str] = (),
) -> None:
    """Write the JUnit file, see :func:`junit_xml`, all of it or nothing.

    Raises:
        OSError: the folder cannot be written.
    """
    files.write_text(path, junit_xml(result, tellings, problems))
