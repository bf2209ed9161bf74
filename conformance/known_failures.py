"""Known-failure files: violations that are known, each with a witness that is replayed.

A file is TOML with one ``[[failure]]`` table for each identity::

    [[failure]]
    system = "pagetable"
    rule = "OR-2"
    signature = "unmap, level 2, leaf -> table, in arm_lpae_install_table"
    target = "linux:io-pgtable-arm"
    versions = ["6.1", "6.12"]     # first and last that it holds for; "" for an open end
    reason = "..."
    link = "..."                   # or the argument, why it is what it is
    witness = [ '{"op": "create", ...}', ... ]

A known identity is not searched for: its witness is replayed. If the witness does
not fail any more on a version inside the range, the entry is stale, and that is an
error; outside the range it is news.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
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
    "rule": str,
    "signature": str,
    "target": str,
    "versions": list,
    "reason": str,
    "link": str,
    "witness": list,
}


@dataclass(frozen=True, slots=True)
class Known:
    """One known failure. ``first``/``last``: versions, as tuples of numbers; () is open."""

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
    def identity(self) -> tuple[str, str]:
        """Rule and signature."""
        return (self.rule, self.signature)

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

    def fails(self, target: Target) -> bool:
        """Whether the witness still breaks the rule in the same way."""
        system = system_by_name(self.system)
        return reproduces(system, target, self.witness, self.identity) > 0


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
    return [_entry(path, number, entry) for number, entry in enumerate(entries, start=1)]


def _entry(path: Path, number: int, entry: object) -> Known:
    where = f"{path}, failure {number}"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} is {entry!r}; allowed are [[failure]] tables")
    for name, kind in _FIELDS.items():
        if not isinstance(entry.get(name), kind):
            raise ValueError(
                f"{where}: field {name} is {entry.get(name)!r}; allowed is a {kind.__name__}"
            )
    unknown = sorted(set(entry) - set(_FIELDS))
    if unknown:
        raise ValueError(f"{where}: fields {unknown} are unknown; allowed are {list(_FIELDS)}")
    try:
        system = system_by_name(str(entry["system"]))
        if entry["rule"] not in [rule.id for rule in system.rules]:
            raise ValueError(
                f"rule is {entry['rule']!r}; allowed are "
                f"{', '.join(rule.id for rule in system.rules)}"
            )
        first, last = _versions(entry["versions"])
        witness = tuple(_operation(line, system) for line in entry["witness"])
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
