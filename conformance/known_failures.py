"""Known-failure files: violations that are known, each with a witness that is replayed.

A file is TOML with one ``[[failure]]`` table for each defect::

    [[failure]]
    system = "pagetable"
    rule = "OR-2"
    signature = "unmap, level 2, leaf -> table, in arm_lpae_install_table"
    target = "linux:io-pgtable-arm"
    versions = ["6.1", "6.12"]     # first and last that it holds for; "" for an open end
    reason = "..."
    link = "..."                   # or the argument, why it is what it is
    witness = [ '{"op": "create", ...}', ... ]

A word of the signature may be several, ``level 1|2|3``: the entry covers each combination of them,
and the witness has to show each; a pattern that covers what its witness does not show is refused.
Where a defect has more than one rule, signature or witness, they stand one below the other::

    [[failure]]
    system = "mali"
    target = "linux:panthor"
    versions = ["6.10", "6.12"]
    reason = "..."
    link = "..."

    [[failure.shown]]
    rule = "OR-2"
    signature = "bind, level 2, leaf -> table, in arm_lpae_install_table"
    witness = [ ... ]

    [[failure.shown]]
    ...

A known identity is not searched for: its witness is replayed. If the witness does
not fail any more on a version inside the range, the entry is stale, and that is an
error; outside the range it is news.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from conformance.discovery import system_by_name
from conformance.minimise import reproduces
from conformance.system import System
from conformance.targets.protocol import Target
from reference.operations import Operation, from_json

FOLDER = Path(__file__).parent / "known"
"""The files that come with the suite; they can be named without folder and ending."""

_FIELDS = {
    "system": str,
    "target": str,
    "versions": list,
    "reason": str,
    "link": str,
}
_SHOWN_FIELDS = {"rule": str, "signature": str, "witness": list}
_MANY = "shown"
"""The field of an entry that shows more than one thing."""

MOST_COVERED = 24
"""Identities that one pattern can cover at most."""


@dataclass(frozen=True, slots=True)
class Known:
    """One witness of a known failure. ``first``/``last``: versions, as numbers; () is open.

    ``signature``: a pattern, see the top of this file.
    """

    system: str
    rule: str
    signature: str
    target: str
    first: tuple[int, ...]
    last: tuple[int, ...]
    reason: str
    link: str
    witness: tuple[Operation, ...]
    source: str

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """Rule and signature of everything that it covers."""
        return tuple((self.rule, one) for one in covered(self.signature))

    @property
    def name(self) -> str:
        """How reports call it: the file's name, and the reason."""
        return f"{self.source}: {self.reason}"

    def concerns(self, target: Target) -> bool:
        """Whether it is about this target, whatever the version."""
        return self.target == target.name

    def covers(self, target: Target) -> bool:
        """Whether it holds for this target in this version."""
        if not self.concerns(target):
            return False
        version = version_of(target)
        if not version:
            return not self.first and not self.last
        after = not self.first or version[: len(self.first)] >= self.first
        before = not self.last or version[: len(self.last)] <= self.last
        return after and before

    def shows(self, target: Target) -> tuple[tuple[str, str], ...]:
        """Those of the identities that the witness shows on a target."""
        system = system_by_name(self.system)
        return tuple(
            one for one in self.identities if reproduces(system, target, self.witness, one) > 0
        )


def covered(pattern: str) -> list[str]:
    """The signatures that a pattern covers: for each word with ``|``, each of its choices.

    Raises:
        ValueError: a choice is empty, a word could be any, or there are too many.
    """
    words = [word.split("|") for word in re.split(r"(,? )", pattern)]
    for choices in words:
        if ("" in choices and len(choices) > 1) or "*" in choices:
            raise ValueError(
                f"signature is {pattern!r}; allowed are words, or choices such as 1|2|3, each of "
                "which the witness shows"
            )
    found = ["".join(chosen) for chosen in product(*words)]
    if len(found) > MOST_COVERED or len(set(found)) < len(found):
        raise ValueError(
            f"signature is {pattern!r}, which covers {len(found)}; allowed are {MOST_COVERED} at "
            "most, each once"
        )
    return found


def version_of(target: Target) -> tuple[int, ...]:
    """The first version number in a target's version line: (6, 12, 117); () if none."""
    found = re.search(r"\b(\d+(?:\.\d+)+)", target.version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def known_file(name: str) -> Path:
    """The file that ``name`` means: a path, or the name of a file that comes with the suite.

    Raises:
        ValueError: there is no such file.
    """
    for path in (Path(name), FOLDER / name, FOLDER / f"{name}.toml"):
        if path.is_file():
            return path
    ours = ", ".join(sorted(path.stem for path in FOLDER.glob("*.toml")))
    raise ValueError(
        f"known is {name!r}, which is no file; allowed are paths, and {ours or 'none'}"
    )


def read_known(path: str | Path) -> list[Known]:
    """The entries of a known-failure file.

    Raises:
        ValueError: the file cannot be read, or an entry is not as it should be; the message
            names file, entry, field and what is allowed.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}; allowed are known-failure files in TOML") from None
    entries = data.get("failure")
    if set(data) - {"failure"} or not isinstance(entries, list):
        raise ValueError(f"{path} has {sorted(data)}; allowed are [[failure]] tables only")
    return [
        known
        for number, entry in enumerate(entries, start=1)
        for known in _entry(path, f"{path}, failure {number}", entry)
    ]


def _entry(path: Path, where: str, entry: object) -> Iterator[Known]:
    """What an entry shows: one thing, or those of its table ``shown``."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} is {entry!r}; allowed are [[failure]] tables")
    if _MANY not in entry:
        _check(where, entry, _FIELDS | _SHOWN_FIELDS)
        yield _known(path, where, entry)
        return
    _check(where, entry, _FIELDS | {_MANY: list})
    shared = {name: entry[name] for name in _FIELDS}
    if not entry[_MANY]:
        raise ValueError(f"{where}: field {_MANY} is empty; allowed is one table or more")
    for number, one in enumerate(entry[_MANY], start=1):
        which = f"{where}, {_MANY} {number}"
        if not isinstance(one, Mapping):
            raise ValueError(f"{which} is {one!r}; allowed are [[failure.{_MANY}]] tables")
        _check(which, one, _SHOWN_FIELDS)
        yield _known(path, which, {**shared, **one})


def _check(where: str, entry: Mapping[str, object], fields: Mapping[str, type]) -> None:
    """Whether an entry has these fields, and no others."""
    for name, kind in fields.items():
        if not isinstance(entry.get(name), kind):
            raise ValueError(
                f"{where}: field {name} is {entry.get(name)!r}; allowed is a {kind.__name__}"
            )
    unknown = sorted(set(entry) - set(fields))
    if unknown:
        raise ValueError(f"{where}: fields {unknown} are unknown; allowed are {list(fields)}")


def _known(path: Path, where: str, entry: Mapping[str, object]) -> Known:
    try:
        system = system_by_name(str(entry["system"]))
        if entry["rule"] not in [rule.id for rule in system.rules]:
            raise ValueError(
                f"rule is {entry['rule']!r}; allowed are "
                f"{', '.join(rule.id for rule in system.rules)}"
            )
        first, last = _versions(entry["versions"])
        covered(str(entry["signature"]))
        lines = entry["witness"]
        assert isinstance(lines, list)
        witness = tuple(_operation(line, system) for line in lines)
        if not witness:
            raise ValueError("witness is empty; allowed is one operation or more")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return Known(
        system.name,
        str(entry["rule"]),
        str(entry["signature"]),
        str(entry["target"]),
        first,
        last,
        str(entry["reason"]),
        str(entry["link"]),
        witness,
        path.stem,
    )


def _operation(line: object, system: System) -> Operation:
    try:
        if isinstance(line, str):
            return from_json(json.loads(line), system.specs)
    except json.JSONDecodeError:
        pass
    raise ValueError(
        f"witness has {line!r}; allowed are operations, each a JSON object in a string"
    )


def _versions(value: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"versions is {value!r}; allowed are two, the first and the last")
    ends = []
    for one in value:
        if not isinstance(one, str) or not re.fullmatch(r"(\d+(\.\d+)*)?", one):
            raise ValueError(f'versions is {value!r}; allowed are such as "6.12", and "" for open')
        ends.append(tuple(int(part) for part in one.split(".")) if one else ())
    first, last = ends
    if last and first[: len(last)] > last:
        raise ValueError(
            f"versions is {value!r}; allowed are the first and the last, in this order"
        )
    return first, last
