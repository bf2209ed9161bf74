"""How fast the suite is, as ratios of things that are measured side by side.

``nox -s bench`` runs this with the installed distribution; ``python benchmarks/run.py`` does
with whatever is installed. What is compared takes turns, each in a process of its own, and the
ratio is that of the medians: another machine, or a busy one, changes both sides alike. The
numbers are of processor time, but for those about several processes.
"""

import argparse
import gc
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

PACKAGES = ("reference", "strategies", "reports", "conformance")
STEPS = 30
"""Steps of an example, as in a run."""

MANY, FEW = 1_000_000, 1_000
"""Mapped pages, for the two sides that differ in nothing else."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition of one side: ``count`` things in ``seconds``; ``more`` about them."""

    seconds: float
    count: int
    more: dict[str, float]

    @property
    def rate(self) -> float:
        """Things a second."""
        return self.count / self.seconds


@dataclass(slots=True)
class Row:
    """One line of the table. ``got`` is None where it was not measured; ``note`` says why."""

    name: str
    how: str
    wanted: float
    got: float | None
    low: float | None = None
    high: float | None = None
    repetitions: int = 0
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the wanted ratio was reached."""
        if self.got is None:
            return "not measured"
        return "yes" if self.got >= self.wanted else "missed"


# -- sides: each runs in a process of its own, and is asked for one repetition after the other --


def model_side(options: dict[str, Any]) -> Callable[[int], Sample]:
    """The same calls on the reference driver, the hardware view and the promise."""
    from reference.build_check import is_compiled
    from reference.formats import format_by_name
    from reference.hardware.machine import Machine
    from reference.systems.pagetable.driver import PageTable
    from reference.trace import BEGIN, END, RELEASE, Trace
    from reference.translations import Translations

    if is_compiled() != options["compiled"]:
        raise RuntimeError(f"the model is {'' if is_compiled() else 'not '}compiled")
    fmt = format_by_name("lpae-s1")
    page, block, huge = fmt.page_sizes
    # (page size, count, what to unmap of it as a page size and a count)
    runs = [(page, 1), (page, 3), (page, 17), (page, 64), (page, 512), (block, 1), (block, 3)]

    def once(number: int) -> Sample:
        started = time.process_time()
        calls = 0
        for _ in range(options["rounds"]):
            trace = Trace()
            geometry = fmt.geometry(48)
            table = PageTable(geometry, 48, sum(fmt.page_sizes), True, False, trace)
            machine = Machine(geometry, True)
            view = machine.add_space()
            machine.add_context(view)
            promise = Translations(fmt)
            fed = 0

            def see(
                first: int,
                last: int,
                machine: Any = machine,
                view: Any = view,
                trace: Any = trace,
                promise: Any = promise,
                table: Any = table,
            ) -> None:
                nonlocal fed, calls
                trace.emit(END, 0)
                machine.feed(trace.words, fed)
                fed = len(trace)
                if view.difference(promise, first, last) is not None or machine.observations:
                    raise RuntimeError("the reference driver is wrong")
                table.memory.budget = 1 << 20
                trace.emit(BEGIN, 0)
                calls += 1

            trace.emit(BEGIN, 0)
            table.create()
            see(0, page - 1)
            for place, (size, count) in enumerate(runs):
                iova = place * huge
                table.map_pages(iova, iova, size, count, 3)
                promise.add_run(iova, iova, size, count, 3)
                view.touched_first, view.touched_last = iova, iova + size * count - 1
                see(iova - page if iova else 0, iova + size * count + page - 1)
                table.iova_to_phys(iova)
                promise.lookup(iova)
                see(iova, iova + page - 1)
            for place, (size, count) in enumerate(runs):
                iova = place * huge
                last = iova + size * count - 1
                table.unmap_pages(iova, size, count, False)
                promise.remove(iova, last)
                view.touched_first, view.touched_last = iova, last
                see(iova, last)
                table.sync()
                see(iova, last)
                if view.stale(promise, iova, last) is not None:
                    raise RuntimeError("the reference driver leaves something stale")
                trace.emit(RELEASE, iova, last)
                see(iova, last)
            table.destroy()
        return Sample(time.process_time() - started, calls, {})

    return once


def machine_side(options: dict[str, Any]) -> Callable[[int], Sample]:
    """Steps of a Hypothesis machine: ours on a target, one with its draws only, or an empty one."""
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

    from conformance.discovery import system_by_name
    from conformance.engine import Plan, run_shard
    from conformance.registry import make_target
    from conformance.system import System
    from conformance.systems.pagetable.machine import PageTableMachine
    from strategies import pagetable as draw

    name = options["system"]
    seen = {"steps": 0, "changing": 0, "before": 0}

    class Counted(RuleBasedStateMachine):
        """Counts the steps, and those after which the session counts a change more.

        What comes before the first check, creation of the table included, is no step.
        """

        def __init__(self) -> None:
            super().__init__()
            self.began = False

        def check_invariants(self, *given: Any) -> None:
            super().check_invariants(*given)
            session = getattr(self, "session", None)
            now = 0
            if session is not None:
                now = sum(one.changed for one in session.tally.operations.values())
            if self.began:
                seen["steps"] += 1
                seen["changing"] += now > seen["before"]
            self.began = True
            seen["before"] = now

    class Idle(Counted):
        """What the engine asks of a machine, without a session."""

        def __init__(self) -> None:
            super().__init__()
            self.start()

        def start(self) -> Any:
            """A session; none is made."""

    class ThreeIntegers(Idle):
        """The fixed empty machine."""

        numbers = st.integers(0, 63)

        @rule(first=numbers, second=numbers, third=numbers)
        def draw(self, first: int, second: int, third: int) -> None:
            """Draw three integers."""

    target = make_target(options["target"], options["kernel"], system=name)
    system = system_by_name(name)

    def idle(name: str) -> Any:
        def does_nothing(self: object, **drawn: object) -> None:
            """Nothing."""

        does_nothing.__name__ = name
        return does_nothing

    def same_draws(_: Any) -> type:
        first: Any = initialize(config=draw.tables(target.traits))
        body: dict[str, Any] = {"create": first(idle("create"))}
        for one in rules_of(PageTableMachine):
            name = one.function.__name__
            again: Any = rule(**one.arguments)
            body[name] = again(idle(name))
        return type("SameDraws", (Idle,), body)

    def ours(_: Any) -> type:
        made = system.make_machine(dict(target.traits))  # type: ignore[arg-type]
        return type("Ours", (Counted, made), {})

    make = {"ours": ours, "draws": same_draws, "empty": lambda _: ThreeIntegers}[options["which"]]

    class WithoutSession(System):
        """A system whose examples have no session."""

        def session(self, *given: Any) -> Any:
            """None is made."""

    measured = replace(system, make_machine=make)
    if options["which"] != "ours":
        given = {one.name: getattr(measured, one.name) for one in fields(System) if one.init}
        measured = WithoutSession(**given)

    muted: set[tuple[str, str]] = set()

    def once(number: int) -> Sample:
        plan = Plan(
            seed=number, examples=options["examples"], steps=STEPS, shards=1, minimise_executions=0
        )
        while True:
            seen.update(steps=0, changing=0)
            started = time.process_time()
            result = run_shard(measured, target, plan, 0, muted)
            seconds = time.process_time() - started
            if not result.findings:
                break
            # Finding is not what is measured: do the same again with what was found as known.
            if options["target"] == "reference":
                raise RuntimeError(
                    f"reference breaks {', '.join(one for one, _ in result.findings)}"
                )
            muted.update(result.findings)
        counted = seen["changing"] if options["which"] == "ours" else seen["steps"]
        changed = sum(one.changed for one in result.tally.operations.values())
        return Sample(
            seconds, counted, {"steps": float(seen["steps"]), "operations": float(changed)}
        )

    return once


def rules_of(machine: Any) -> list[Any]:
    """The rules of a Hypothesis machine: objects with ``function`` and ``arguments``."""
    return list(machine.setup_state().rules)


def mapped_side(options: dict[str, Any]) -> Callable[[int], Sample]:
    """Steps on a table in which a number of pages is mapped."""
    from conformance.discovery import system_by_name
    from conformance.registry import make_target
    from conformance.systems.pagetable.operations import SPECS
    from reference.operations import make

    session = system_by_name("pagetable").session(
        make_target("reference", system="pagetable"), set()
    )

    def do(name: str, **given: int | str) -> None:
        outcome = session.run(make(name, SPECS, **given))
        if outcome.violations or outcome.sort != "legal" or outcome.result.result:
            raise RuntimeError(f"{name} {given}: {outcome.sort}, {outcome.violations}")

    do("create")
    left = options["pages"]
    iova = 0
    while left:
        count = min(left, 512)
        do("map", iova=iova, pa=iova, pgcount=count)
        iova += count * 0x1000
        left -= count
    free = 1 << 40
    gc.collect()

    def once(number: int) -> Sample:
        chance = random.Random(number)
        steps = 0
        started = time.process_time()
        for _ in range(options["rounds"]):
            page = chance.randrange(options["pages"]) * 0x1000
            do("translate", iova=page)
            do("unmap", iova=page)
            do("sync")
            do("release")
            do("map", iova=page, pa=page)
            do("map", iova=free, pa=0, pgcount=17)
            do("unmap", iova=free, pgcount=17, gather="queued")
            do("flush")
            do("release")
            steps += 9
        return Sample(time.process_time() - started, steps, {})

    return once


def vmas_side(options: dict[str, Any]) -> Callable[[int], Sample]:
    """Operations on a VM that has so many VMAs."""
    from conformance.discovery import SYSTEMS
    from conformance.registry import make_target
    from conformance.systems.mali.operations import SPECS
    from reference.operations import make

    target = make_target(options["target"], options["kernel"], system="mali")
    session = SYSTEMS["mali"].session(target, None)
    page = 0x1000

    def do(name: str, **given: int) -> None:
        outcome = session.run(make(name, SPECS, **given))
        if outcome.sort != "legal" or outcome.result.result:
            raise RuntimeError(f"{name} {given}: {outcome.sort}, {outcome.violations}")

    for name in ("create", "vm"):
        do(name)
    do("bo", size=4 * page)
    do("active", vm=0)
    for number in range(options["vmas"]):
        # Two pages, and a page between.
        do("bind", va=number * 3 * page, size=2 * page, bo=0)
    session.trace.clear()
    free = 1 << 40
    gc.collect()

    def once(number: int) -> Sample:
        chance = random.Random(number)
        operations = 0
        started = time.process_time()
        for _ in range(options["rounds"]):
            va = chance.randrange(options["vmas"]) * 3 * page
            do("bind", kind=1, va=va + page, size=page)
            do("bind", va=va, size=2 * page, bo=0)
            do("bind", va=free, size=3 * page, bo=0)
            do("bind", kind=1, va=free + page, size=page)
            do("bind", kind=1, va=free, size=3 * page)
            operations += 5
        return Sample(time.process_time() - started, operations, {})

    return once


def walker_side(options: dict[str, Any]) -> Callable[[int], Sample]:
    """Translations of many addresses: one after the other, or all at once."""
    import numpy as np

    from reference.formats import format_by_name
    from reference.formats.entry import LEAF
    from reference.hardware.bulk_walker import FAULT, NO_ACCESS, image_of, translate_many
    from reference.hardware.machine import Machine
    from reference.systems.pagetable.driver import PageTable
    from reference.trace import Trace

    fmt = format_by_name("lpae-s1")
    geometry = fmt.geometry(48)
    trace = Trace()
    table = PageTable(geometry, 48, sum(fmt.page_sizes), True, False, trace)
    table.create()
    pages = 1 << 16
    for number in range(pages // 512):
        table.map_pages(number << 21, number << 21, 0x1000, 512, 3)
    machine = Machine(geometry, True)
    view = machine.add_space()
    machine.add_context(view)
    machine.feed(trace.words, 0)
    walker = view.walker
    chance = np.random.default_rng(7)
    vas = chance.integers(0, (pages * 9 // 8) << 12, options["addresses"], dtype=np.uint64)
    listed = [int(va) for va in vas]
    base, image = image_of(view.memory)
    root = int(walker.root)

    def bulk(number: int) -> Sample:
        # One pass is over in some milliseconds, which says little about a second.
        started = time.process_time()
        count = 0
        for _ in range(20):
            pa, _, _ = translate_many(image, base, geometry, root, vas)
            count += len(pa)
        return Sample(time.process_time() - started, count, {})

    def scalar(number: int) -> Sample:
        started = time.process_time()
        pas, levels, accesses = [], [], []
        for va in listed:
            level, word = walker.translate(va)
            if fmt.kind(level, word) == LEAF:
                pas.append(fmt.output(level, word) + (va & (fmt.span(level) - 1)))
                accesses.append(fmt.meaning(level, word) & ~walker.denied)
            else:
                pas.append(int(FAULT))
                accesses.append(NO_ACCESS)
            levels.append(level)
        return Sample(time.process_time() - started, len(listed), {})

    return bulk if options["bulk"] else scalar


SIDES: dict[str, Callable[[dict[str, Any]], Callable[[int], Sample]]] = {
    "model": model_side,
    "machine": machine_side,
    "mapped": mapped_side,
    "vmas": vmas_side,
    "walker": walker_side,
}


def serve(side: str, options: dict[str, Any]) -> None:
    """Measure one repetition for each line read; the first line says that all is ready."""
    # What the model and others print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(what: dict[str, Any]) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        once = SIDES[side](options)
    except Exception as error:
        answer({"error": str(error).strip() or type(error).__name__})
        return
    answer({})
    for line in sys.stdin:
        gc.collect()
        try:
            answer(asdict(once(int(line))))
        except Exception as error:
            answer({"error": str(error).strip() or type(error).__name__})
            return


class Unmeasured(Exception):
    """Why something could not be measured, in one line."""


class Side:
    """One side in a process of its own."""

    def __init__(self, name: str, path: str | None = None, **options: Any) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        if path is not None:
            environment["PYTHONPATH"] = path
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--side", name, json.dumps(options)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Side":
        try:
            self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *given: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def sample(self, number: int) -> Sample:
        """Measure repetition ``number``."""
        assert self._process.stdin
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return Sample(**self._read())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Unmeasured("the process that measures it ended early")
        read = cast("dict[str, Any]", json.loads(line))
        if "error" in read:
            raise Unmeasured(" ".join(str(read["error"]).split()))
        return read


def in_turns(sides: Sequence[Side], repetitions: int) -> list[list[Sample]]:
    """The samples of each side; they take turns, and each is warmed up once before."""
    for side in sides:
        side.sample(0)
    samples: list[list[Sample]] = [[] for _ in sides]
    for number in range(1, repetitions + 1):
        # Who is first changes, so that neither always comes after the other.
        order = list(range(len(sides)))
        for at in order if number % 2 else reversed(order):
            samples[at].append(sides[at].sample(number))
    return samples


@contextmanager
def unmeasured_is_told(row: Row) -> Iterator[None]:
    """Let the row of what cannot be measured say why; the others are measured all the same."""
    try:
        yield
    except Unmeasured as error:
        row.note = f"not measured: {error}"


def ratio(row: Row, ours: Sequence[float], other: Sequence[float]) -> Row:
    """Fill in the ratio of the medians, and the least and greatest of the repetitions."""
    each = [a / b for a, b in zip(ours, other, strict=True)]
    row.got = median(ours) / median(other)
    row.low, row.high = min(each), max(each)
    row.repetitions = len(each)
    return row


def rates(samples: Sequence[Sample]) -> list[float]:
    """Things a second, of each repetition."""
    return [sample.rate for sample in samples]


# -- the rows ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effort:
    """How long it may take. ``minute``: seconds of the longest command that is timed."""

    repetitions: int
    rounds: int
    examples: int
    pages: int
    minute: float
    command_repetitions: int


FULL = Effort(11, 10, 80, MANY, 60.0, 2)
QUICK = Effort(3, 2, 20, 100_000, 4.0, 1)


def compiled_row(effort: Effort) -> Row:
    """(a) The compiled model against the interpreted one."""
    row = Row(
        "compiled model / interpreted model",
        "the same maps, unmaps, syncs and translations through the reference driver, hardware "
        "view and promise; the interpreted model is a copy of the same sources",
        5.0,
        None,
    )
    with unmeasured_is_told(row):
        with (
            tempfile.TemporaryDirectory(prefix="mmu-conformance-bench-") as folder,
            ExitStack() as on,
        ):
            copy_sources(Path(folder))
            sides = [
                on.enter_context(Side("model", compiled=True, rounds=effort.rounds)),
                on.enter_context(Side("model", folder, compiled=False, rounds=effort.rounds)),
            ]
            fast, slow = in_turns(sides, effort.repetitions)
        row.note = f"{median(rates(fast)):,.0f} calls a second, each judged"
        ratio(row, rates(fast), rates(slow))
    return row


def copy_sources(folder: Path) -> None:
    """Copy the installed packages, less what was compiled from them."""
    import reference

    installed = Path(reference.__file__).resolve().parent.parent
    for name in PACKAGES:
        shutil.copytree(
            installed / name,
            folder / name,
            ignore=shutil.ignore_patterns("*.so", "*.pyd", "_build.json", "__pycache__"),
        )


def step_rows(effort: Effort, target: str, kernel: str | None) -> Iterator[Row]:
    """(b), (c) Steps of the machine ``pagetable`` against steps of machines that do nothing."""
    empty = Row(
        f"{target}: steps that change state / steps of an empty machine",
        "a second of processor time; the empty Hypothesis machine draws three integers a step, "
        "with the same settings and as many examples and steps",
        0.4,
        None,
    )
    draws = Row(
        f"{target}: steps that change state / steps that only draw",
        "a second of processor time; the other machine has the same rules with the same "
        "strategies, and does nothing with what they draw",
        0.6,
        None,
    )
    options: dict[str, Any] = {
        "system": "pagetable", "target": target, "kernel": kernel, "examples": effort.examples,
    }  # fmt: skip
    try:
        with ExitStack() as on:
            sides = [
                on.enter_context(Side("machine", which=which, **options))
                for which in ("ours", "empty", "draws")
            ]
            ours, nothing, only = in_turns(sides, effort.repetitions)
    except Unmeasured as error:
        empty.note = draws.note = f"not measured: {error}"
    else:
        empty.note = steps_told(ours, nothing)
        draws.note = steps_told(ours, only)
        ratio(empty, rates(ours), rates(nothing))
        ratio(draws, rates(ours), rates(only))
    yield empty
    yield draws


def steps_told(ours: Sequence[Sample], other: Sequence[Sample]) -> str:
    """What a row of steps says besides its ratio."""
    share = sum(one.count for one in ours) / sum(one.more["steps"] for one in ours)
    steps = median([one.more["steps"] / one.seconds for one in ours])
    return (
        f"{median(rates(ours)):,.0f} steps a second change state, which are {share:.0%} of the "
        f"{steps:,.0f} it makes; the other makes {median(rates(other)):,.0f}, so that the ratio "
        f"of all steps is {figure(steps / median(rates(other)))}"
    )


def mali_rows(effort: Effort, kernel: str | None) -> Iterator[Row]:
    """(g) Operations of the machine ``mali``, some of which are a step, against empty steps."""
    a_step = "a step of this machine is about two operations, such as a job that starts and a bind"
    yield from _operations_rows(effort, kernel, "mali", "linux:panthor", a_step)


def nvidia_rows(effort: Effort, kernel: str | None) -> Iterator[Row]:
    """(i) Operations of the machine ``nvidia``, likewise."""
    a_step = "a step of this machine is about three operations, such as an area and maps in it"
    yield from _operations_rows(effort, kernel, "nvidia", "linux:nvkm", a_step)


def _operations_rows(
    effort: Effort, kernel: str | None, system: str, linux: str, a_step: str
) -> Iterator[Row]:
    for target, tree in (("reference", None), (linux, kernel)):
        row = Row(
            f"{system}, {target}: operations that change state / steps of an empty machine",
            f"the empty machine is that of page tables; {a_step}",
            0.35,
            None,
        )
        options: dict[str, Any] = {
            "system": system, "target": target, "kernel": tree, "examples": effort.examples,
        }  # fmt: skip
        with unmeasured_is_told(row):
            with ExitStack() as on:
                sides = [
                    on.enter_context(Side("machine", which=which, **options))
                    for which in ("ours", "empty")
                ]
                ours, nothing = in_turns(sides, effort.repetitions)
            operations = [one.more["operations"] / one.seconds for one in ours]
            row.note = f"{median(operations):,.0f} operations a second change state; " + steps_told(
                ours, nothing
            )
            ratio(row, operations, rates(nothing))
        yield row


def vmas_rows(effort: Effort, kernel: str | None) -> Iterator[Row]:
    """(h) Operations on a VM with many VMAs against those on one with few."""
    many, few = effort.pages // 10, 100
    for target, tree in (("reference", None), ("linux:panthor", kernel)):
        row = Row(
            f"mali, {target}: an operation with {many:,} VMAs in a VM / with {few}",
            "maps, holes and unmaps of pages at random places in a VM that a job uses",
            0.8,
            None,
        )
        with unmeasured_is_told(row):
            with ExitStack() as on:
                sides = [
                    on.enter_context(
                        Side(
                            "vmas", vmas=vmas, target=target, kernel=tree, rounds=effort.rounds * 8
                        )
                    )
                    for vmas in (many, few)
                ]
                ours, other = in_turns(sides, effort.repetitions)
            row.note = (
                f"{1e6 / median(rates(ours)):,.0f} and {1e6 / median(rates(other)):,.0f} us an "
                "operation"
            )
            ratio(row, rates(ours), rates(other))
        yield row


def mapped_row(effort: Effort) -> Row:
    """(d) Steps with much mapped against steps with little."""
    row = Row(
        f"a step with {effort.pages:,} pages mapped / with {FEW:,}",
        "maps, unmaps, syncs, flushes, releases and translations at random places, on reference",
        0.8,
        None,
    )
    with unmeasured_is_told(row):
        with ExitStack() as on:
            sides = [
                on.enter_context(Side("mapped", pages=pages, rounds=effort.rounds * 8))
                for pages in (effort.pages, FEW)
            ]
            many, few = in_turns(sides, effort.repetitions)
        row.note = f"{1e6 / median(rates(many)):,.0f} and {1e6 / median(rates(few)):,.0f} us a step"
        ratio(row, rates(many), rates(few))
    return row


def walker_row(effort: Effort) -> Row:
    """(e) The bulk walker against the scalar one."""
    row = Row(
        "translate_many / scalar walker",
        "random addresses, eight of nine mapped with one permission, in a table of 65,536 pages; "
        "both compiled",
        20.0,
        None,
    )
    with unmeasured_is_told(row):
        with ExitStack() as on:
            sides = [
                on.enter_context(Side("walker", bulk=bulk, addresses=100_000))
                for bulk in (True, False)
            ]
            bulk, scalar = in_turns(sides, effort.repetitions)
        row.note = f"{median(rates(bulk)) / 1e6:,.1f} million addresses a second"
        ratio(row, rates(bulk), rates(scalar))
    return row


def workers_row(effort: Effort) -> Row:
    """(f) A run on two processes against one on one."""
    row = Row(
        "mmu-conformance run -n 2 / -n 0",
        "the same command line by the clock, start and end included, on reference",
        1.8,
        None,
    )
    with unmeasured_is_told(row):
        examples = 100
        # A minute of work, which takes longer by the clock where other work is going on. The start
        # does not grow with the examples; a second run tells how much it is.
        _, worked = command_seconds(examples, 0)
        further = command_seconds(2 * examples, 0)[1] - worked
        examples = max(examples, int(examples * effort.minute / max(further, 0.1)))
        one: list[tuple[float, float]] = []
        two: list[tuple[float, float]] = []
        ceiling: list[float] = []
        for _ in range(effort.command_repetitions):
            one.append(command_seconds(examples, 0))
            two.append(command_seconds(examples, 2))
            ceiling.append(machine_ceiling(effort.minute / 10))
        (clock_one, work_one), (clock_two, work_two) = (
            (median([clock for clock, _ in runs]), median([work for _, work in runs]))
            for runs in (one, two)
        )
        row.note = (
            f"{examples:,} examples: {clock_one:.1f} s and {clock_two:.1f} s, in which they worked "
            f"{work_one:.1f} s and {work_two:.1f} s; two processes that share nothing got "
            f"{median(ceiling):.2f} times the work of one done meanwhile"
        )
        ratio(row, [1 / clock for clock, _ in two], [1 / clock for clock, _ in one])
    return row


def command_seconds(examples: int, workers: int) -> tuple[float, float]:
    """Seconds of one run of the command line, by the clock and of processors."""
    command = [
        sys.executable, "-P", "-m", "conformance", "run", "--examples", str(examples),
        "-n", str(workers),
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unmeasured(f"the run ended with {done.returncode}: {said[-1] if said else ''}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, worked


def machine_ceiling(seconds: float) -> float:
    """How much more work two processes get done than one: what the machine has to give now."""
    count = 5_000_000
    started = time.perf_counter()
    burn(count, 1)
    count = int(count * max(seconds, 0.5) / (time.perf_counter() - started))
    return 2 * burn(count, 1) / burn(count, 2)


def burn(count: int, processes: int) -> float:
    """Seconds for so many processes to count to ``count`` each."""
    started = time.perf_counter()
    code = f"def run():\n n = 0\n for _ in range({count}): n += 1\nrun()"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(processes)]
    for process in running:
        process.wait()
    return time.perf_counter() - started


ROWS: dict[str, Callable[[Effort, str | None], Iterator[Row]]] = {
    "compiled": lambda effort, kernel: iter([compiled_row(effort)]),
    "reference": lambda effort, kernel: step_rows(effort, "reference", None),
    "linux": lambda effort, kernel: step_rows(effort, "linux:io-pgtable-arm", kernel),
    "mapped": lambda effort, kernel: iter([mapped_row(effort)]),
    "mali": mali_rows,
    "nvidia": nvidia_rows,
    "vmas": vmas_rows,
    "walker": lambda effort, kernel: iter([walker_row(effort)]),
    "workers": lambda effort, kernel: iter([workers_row(effort)]),
}


# -- what is told -----------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """The machine, in words."""
    import platform

    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
                break
    except OSError:
        pass
    return {
        "processor": model or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def load() -> float:
    """Processes that wanted to run, on average over the last minute."""
    return os.getloadavg()[0]


def figure(value: float | None) -> str:
    """A ratio as text."""
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def spread(row: Row) -> str:
    """The least and greatest ratio of the repetitions."""
    return "-" if row.low is None else f"{figure(row.low)} to {figure(row.high)}"


PATH = re.compile(r"(?<![\w.])/[^\s,;:'\")]+/[^\s,;:'\")]*")
"""A path from the root, which says something about one machine only."""


def show(rows: Sequence[Row], about: dict[str, str]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 150)
    table = Table()
    for heading in ("ratio", "wanted", "got", "", "repetitions", "notes"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        between = f"{row.repetitions}: {spread(row)}" if row.repetitions else "-"
        table.add_row(
            row.name, f"at least {row.wanted:g}", figure(row.got), row.verdict, between, row.note
        )
    console.print(table)
    console.print(". ".join(f"{name}: {value}" for name, value in about.items()), highlight=False)


def page(rows: Sequence[Row], about: dict[str, str]) -> str:
    """The page of the documentation."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `nox -s bench -- --docs docs/benchmarks.md`. Every number is a ratio of two "
        "things that were measured side by side in one run: they take turns, each in a process of "
        "its own, and the ratio is that of the medians. Times are processor time, but for the run "
        "on two processes, which is by the clock.",
        "",
        f"Machine: {about['processor']}, {about['cores']} cores, {about['python']}. Other work on "
        f"the machine: the load average was {about['load before']} before and "
        f"{about['load after']} after"
        + (", the benchmark's own work included." if about["effort"] == "full" else "."),
        "",
        "| ratio | wanted | got | reached |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | at least {row.wanted:g} | {figure(row.got)} | {row.verdict} |"
        for row in rows
    ]
    lines += ["", "## How each is measured", ""]
    for row in rows:
        lines.append(f"**{row.name}**")
        count = (
            f" {row.repetitions} repetitions, from {spread(row)}." if row.repetitions > 1 else ""
        )
        said = PATH.sub("...", row.note)
        note = f" {said[0].upper()}{said[1:]}." if said else ""
        lines += [f": {row.how[0].upper()}{row.how[1:]}.{note}{count}", ""]
    if about["effort"] != "full":
        lines += ["This is a quick run (`--quick`): fewer and shorter repetitions.", ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status: 1 if a wanted ratio was missed, and ``--strict`` given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the results as JSON")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the page of the docs")
    parser.add_argument("--kernel", metavar="PATH", help="kernel tree for linux: targets")
    parser.add_argument("--quick", action="store_true", help="shorter, and less exact")
    parser.add_argument("--strict", action="store_true", help="a missed ratio is exit code 1")
    parser.add_argument(
        "--only", action="append", choices=list(ROWS), help="measure only this (repeatable)"
    )
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.side:
        serve(given.side[0], json.loads(given.side[1]))
        return 0
    # Before the first row, which may take long.
    for file in (given.out, given.docs):
        if file is not None and not file.parent.is_dir():
            parser.error(f"{file.parent} is no folder")
    effort = QUICK if given.quick else FULL
    about = machine() | {
        "effort": "quick" if given.quick else "full",
        "load before": f"{load():.1f}",
    }
    rows: list[Row] = []
    for name in given.only or ROWS:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        rows += ROWS[name](effort, given.kernel)
    about["load after"] = f"{load():.1f}"
    show(rows, about)
    if given.out is not None:
        kept = {"about": about, "rows": [asdict(row) | {"verdict": row.verdict} for row in rows]}
        given.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    if given.docs is not None:
        given.docs.write_text(page(rows, about), encoding="utf-8")
    return 1 if given.strict and any(row.verdict == "missed" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
