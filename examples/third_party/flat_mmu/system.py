"""System ``flat``: its operations, its rules, its machine and how it is told."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from conformance.machine import Machine
from conformance.rules.progress import crash_check, return_check
from conformance.rules.rule import Rule
from conformance.rules.step import CallStep
from conformance.rules.violation import Violation
from conformance.session import Session
from conformance.system import System
from conformance.targets.reference import ReferenceTarget
from flat_mmu import driver as flat
from flat_mmu.promise import BELL, ENTRIES, VALID, FlatPromise
from reference.calls import Call
from reference.operations import ArgSpec, Operation, OperationSpec, Result, specs_of
from reports.counterexample import Segment, Views
from reports.events import EventWords

_SLOT = ArgSpec("slot", "count", default=0, high=ENTRIES - 1)

SPECS = specs_of(
    OperationSpec("create", "Make the table."),
    OperationSpec(
        "map", "Map a page at a slot.", (_SLOT, ArgSpec("page", "count", default=1, high=0xFFFF))
    ),
    OperationSpec("unmap", "Unmap a slot.", (_SLOT,)),
    OperationSpec("destroy", "Give the table back."),
)
EVERY = frozenset(SPECS)


class FlatTarget(ReferenceTarget):
    """The driver as a target."""

    system = "flat"
    specs = SPECS

    def __init__(self, driver: Any = flat, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)

    def do_create(self) -> Result:
        """Make the table."""
        self.made = self.driver.FlatDriver(self.trace)
        return Result()

    def do_map(self, slot: int, page: int) -> Result:
        """Map a page."""
        self.made.trace = self.trace
        return Result(self.made.map(slot, page))

    def do_unmap(self, slot: int) -> Result:
        """Unmap a slot."""
        self.made.trace = self.trace
        return Result(self.made.unmap(slot))

    def do_destroy(self) -> Result:
        """Give the table back."""
        self.made.trace = self.trace
        self.made.destroy()
        return Result()


FlatStep = CallStep[Call, FlatPromise]


def result_check(step: FlatStep) -> int:
    """A call returns one of its documented results."""
    allowed = step.errors or (0,)
    if step.result.result not in allowed:
        step.violate(
            "ER-1",
            f"{step.sort}, wrong result",
            f"{step.kind} returned {step.result.result}.",
            str(allowed),
            str(step.result.result),
        )
    return 1


def read_check(step: FlatStep) -> int:
    """The device has read what callers were told."""
    for slot in range(ENTRIES):
        page = step.promise.pages.get(slot)
        wanted = 0 if page is None else page << 12 | VALID
        if step.promise.read[slot] != wanted:
            stale = "stale entry" if step.promise.memory[slot] == wanted else "wrong entry"
            step.violate(
                "FLAT-1",
                stale,
                f"Slot {slot} is not for the device what callers were told.",
                f"{wanted:#x}",
                f"{step.promise.read[slot]:#x}",
            )
            break
    return 1


RULES = (
    Rule(
        "PG-1", "Every call returns.", "The caller waits for ever.", "semantics.md (progress)",
        return_check, EVERY,
    ),
    Rule(
        "PG-2", "No call crashes.", "The machine goes down.", "semantics.md (memory safety)",
        crash_check, EVERY,
    ),
    Rule(
        "ER-1", "A call returns one of its documented results.", "Callers go wrong.",
        "semantics.md (calls)", result_check, EVERY,
    ),
    Rule(
        "FLAT-1", "The device has read each entry as callers were told.",
        "It uses a page that has another owner.", "the flat MMU's manual", read_check,
        frozenset({"map", "unmap"}),
    ),
)  # fmt: skip


class FlatMachine(Machine):
    """Draws operations."""

    @rule(slot=st.integers(0, ENTRIES - 1), page=st.integers(0, 0xFFFF))
    def map(self, slot: int, page: int) -> None:
        """Map, or unmap where something is."""
        mapped = slot in self.session.promise.pages
        self.do("unmap", slot=slot) if mapped else self.do("map", slot=slot, page=page)

    @rule(slot=st.integers(0, ENTRIES - 1))
    def mistake(self, slot: int) -> None:
        """What has to be refused."""
        mapped = slot in self.session.promise.pages
        self.do("map", slot=slot, page=1) if mapped else self.do("unmap", slot=slot)


class FlatViews:
    """Promise and device before and after."""

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        self.session = session
        self.before = self._now()

    def _now(self) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
        promise: FlatPromise = self.session.promise
        told = tuple(_segment(slot, page << 12) for slot, page in sorted(promise.pages.items()))
        read = tuple(
            _segment(slot, word & ~0xFFF) for slot, word in enumerate(promise.read) if word
        )
        return told, read

    def after(self, violation: Violation) -> Views:
        """What there is to say."""
        after = self._now()
        return Views(
            message=violation.message, event=violation.event,
            operation=len(self.session.operations) - 1, iova=max(violation.iova, 0),
            promise_before=self.before[0], promise_after=after[0],
            hardware_before=self.before[1], hardware_after=after[1],
            window=(0, ENTRIES * 0x1000 - 1), expected=violation.expected,
            observed=violation.observed,
        )  # fmt: skip


def _segment(slot: int, pa: int) -> Segment:
    return Segment(slot << 12, (slot << 12) + 0xFFF, pa, "mapped", 0x1000)


EVENT_WORDS = EventWords(texts={BELL: lambda event, vm: f"bell        for slot {event.a}"})

SYSTEM = System(
    name="flat",
    title="sixteen entries and a bell",
    specs=SPECS,
    rules=RULES,
    make_promise=FlatPromise,
    make_views=FlatViews,
    make_machine=lambda traits: FlatMachine,
    valid=lambda operation, traits: True,
    reference=FlatTarget,
    events=EVENT_WORDS,
)
"""System ``flat``."""
