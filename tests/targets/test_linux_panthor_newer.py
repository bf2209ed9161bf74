"""panthor of 7.2 and 7.3: tables change in a locked region, and every access is seen."""

from collections.abc import Iterator

import pytest

from conformance.discovery import system_by_name
from conformance.session import Session
from conformance.systems.mali.targets import LinuxPanthor
from reference.operations import Operation, completed
from reference.systems.mali.device import COMMAND, LOCK, NO_SLOT, UNLOCK, place_at
from reference.trace import FREE, REG_WRITE, STORE, Trace
from tests.targets.conftest import NEWER, kernel_of, made

LARGE = 0x20_0000


def op(name: str, **args: int) -> Operation:
    return Operation(name, dict(args))


@pytest.fixture(scope="module", params=NEWER)
def built(request: pytest.FixtureRequest) -> Iterator[LinuxPanthor]:
    """panthor of each newer tree."""
    kernel = kernel_of(request.param)
    target = made(lambda: LinuxPanthor(kernel))
    yield target
    target.close()


@pytest.fixture
def newer(built: LinuxPanthor) -> LinuxPanthor:
    """It, with no device yet."""
    built.reset()
    return built


def judged(target: LinuxPanthor, *operations: Operation) -> list[str]:
    """Rules and signatures of what is broken, to the end of everything."""
    system = system_by_name("mali")
    session = Session(system, target, set())
    said = []
    for operation in operations:
        for one in session.run(completed(operation, system.specs)).violations:
            said.append(f"{one.rule} {one.signature}")
    end = session.finish()
    return said if end is None else [*said, *(one.rule for one in end.violations)]


def trace_of(target: LinuxPanthor, *operations: Operation) -> Trace:
    """The events of the last operation."""
    specs = system_by_name("mali").specs
    trace = Trace()
    for operation in operations:
        trace = Trace()
        assert target.perform(completed(operation, specs), trace).result == 0
    return trace


CREATE, VM, BO, ACTIVE = op("create"), op("vm"), op("bo"), op("active")
MAP, UNMAP = op("bind", bo=0, size=LARGE), op("bind", kind=1, size=LARGE)


def test_it_says_how_it_updates(newer: LinuxPanthor) -> None:
    assert newer.traits == {"updates": ("locked",)}


def test_tables_change_and_go_between_lock_and_unlock(newer: LinuxPanthor) -> None:
    # In small pages, so that a table goes, too.
    pieces = op("bo", pieces=1)
    trace = trace_of(newer, CREATE, VM, pieces, ACTIVE, MAP, UNMAP)
    seen = []
    for event in trace:
        place = place_at(event.a) if event.kind == REG_WRITE else None
        if event.kind in (STORE, FREE):
            seen.append(event.name)
        elif place is not None and place.slot != NO_SLOT and place.register.name == COMMAND:
            seen.append({LOCK: "LOCK", UNLOCK: "UNLOCK"}[event.b])
    assert seen[0] == "LOCK"
    assert seen.count("LOCK") == seen.count("UNLOCK") == 1
    inside = seen[1 : seen.index("UNLOCK")]
    assert inside[:2] == ["store", "free"]
    assert "store" not in seen[seen.index("UNLOCK") :]


@pytest.mark.parametrize(
    "operations",
    [
        (VM, BO, ACTIVE, MAP, UNMAP),
        (VM, op("bo", pieces=1), ACTIVE, MAP, UNMAP),
        (VM, BO, ACTIVE, MAP, op("bind", kind=1, va=0x3000)),
        (VM, VM, VM, op("create", slots=2)),
        (op("create", slots=2), VM, VM, ACTIVE, op("idle"), op("active", vm=1)),
        (VM, BO, ACTIVE, MAP, op("fault", address=0x1000, code=0xC1), op("run")),
        (VM, BO, op("queue", bo=0), op("queue", kind=1), op("run")),
        (VM, BO, ACTIVE, MAP, op("pre_reset"), op("post_reset")),
        (VM, BO, ACTIVE, MAP, op("suspend"), op("resume"), op("close_file")),
    ],
    ids=lambda operations: "-".join(one.name for one in operations),
)
def test_nothing_is_found_where_nothing_is_wrong(
    newer: LinuxPanthor, operations: tuple[Operation, ...]
) -> None:
    wanted = [one for one in operations if one.name != "create" or one is operations[0]]
    assert judged(newer, *wanted) == []
