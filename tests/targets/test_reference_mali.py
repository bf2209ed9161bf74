"""The reference of system ``mali`` beside Linux's panthor: where Linux is right, they agree."""

import random

import pytest

from conformance.systems.mali.targets import LinuxPanthor, MaliTarget
from reference import trace as t
from reference.operations import Operation
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.mali.events import FENCE, SLOT
from reference.trace import Trace

PAGE = 0x1000
LARGE = 0x200000
TOLD = (VMA_ADD, VMA_REMOVE, FENCE, SLOT, t.REFS)


def random_operation(draw: random.Random, vms: int, buffers: int, fences: int) -> Operation:
    """One that both should take in the same way: no reset, no stuck command, no lost VM."""
    vm = draw.randrange(vms)
    bo = draw.randrange(buffers)
    fence = draw.choice([-1, *range(fences)])
    va = draw.choice([0, LARGE, 0x3FE00000, 0x7FFFFFC00000]) + draw.choice([0, PAGE, 511 * PAGE])
    size = draw.choice([PAGE, 2 * PAGE, LARGE - PAGE, LARGE, LARGE + PAGE])
    place = {"vm": vm, "va": va, "size": size}
    part = {"bo": bo, "offset": draw.choice([0, 0, PAGE, LARGE]), "flags": draw.randrange(8)}
    name, args = draw.choice(
        [
            ("bind", {**place, "kind": 0, **part}),
            ("bind", {**place, "kind": 0, **part}),
            ("bind", {**place, "kind": 1}),
            ("queue", {**place, "kind": 0, **part, "fence": fence}),
            ("queue", {**place, "kind": 1, "fence": fence}),
            ("run", {}),
            ("active", {"vm": vm}),
            ("idle", {"vm": vm}),
            draw.choice(
                [
                    ("vm", {}),
                    ("bo", {"size": 2 * LARGE, "vm": draw.choice([-1, vm]), "pieces": bo}),
                    ("close", {"bo": bo}),
                    ("fence", {}),
                    ("signal", {"fence": max(0, fence)}),
                    ("fault", {"slot": draw.randrange(4), "address": va, "code": 0xC3}),
                    ("suspend", {}),
                    ("resume", {}),
                ]
            ),
        ]
    )
    return Operation(name, args)


def told(trace: Trace, ordered: bool) -> list[tuple[int, int, int, int]]:
    """What there is besides table pages, entries and registers."""
    events = [(e.kind, e.a, e.b, e.c) for e in trace if e.kind in TOLD]
    return events if ordered else sorted(events)


@pytest.mark.parametrize("seed", range(10))
def test_linux_and_the_reference_agree(panthor: LinuxPanthor, seed: int) -> None:
    draw = random.Random(seed)
    reference = MaliTarget()
    traces = (Trace(), Trace())
    made = {"vm": 0, "bo": 0, "fence": 0, "queue": 0}
    first = [
        Operation("create", {"slots": 3}),
        Operation("vm"),
        Operation("vm"),
        Operation("bo", {"size": 2 * LARGE}),
        Operation("bo", {"size": 4 * LARGE, "pieces": 3}),
    ]
    for number in range(80):
        fences = made["fence"] + made["queue"]
        if number < len(first):
            operation = first[number]
        else:
            operation = random_operation(draw, made["vm"], made["bo"], fences)
        for trace in traces:
            trace.clear()
        results = panthor.perform(operation, traces[0]), reference.perform(operation, traces[1])
        assert results[0] == results[1], operation.args
        if results[0].result == 0 and operation.name in made:
            made[operation.name] += 1
        # Which VM's queue is first is up to each of them.
        ordered = operation.name != "run"
        assert told(traces[0], ordered) == told(traces[1], ordered), operation.args
