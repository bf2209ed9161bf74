"""The kinds of state that operations of system ``dart`` can meet."""

from collections.abc import Callable, Mapping

from conformance.states import States
from reference.systems.dart.promise import (
    BLOCKED,
    DMA,
    IDENTITY,
    NONE,
    UNMANAGED,
    DartCall,
    DartPromise,
    DartState,
    KnownDomain,
    KnownGroup,
    streams_of,
)

WORDS = {
    "older": "units of the older parts, with roots in registers for parts of the addresses",
    "newer": "units of the newer part",
    "pages-4k": "tables for pages of 4K",
    "pages-16k": "tables for pages of 16K",
    "odd": "units of the other page size",
    "window": "software bypass",
    "plain": "a unit without software bypass",
    "on": "a unit that is to be locked",
    "off": "a unit that is to be locked no more",
    "alone": "a device that is alone in its group",
    "shares": "a device that shares streams with another",
    "joins": "a device that comes into a group that is attached",
    "units": "streams of more than one unit",
    "streams": "more than one stream",
    "stream": "one stream",
    "nobody": "a domain to which nobody is attached",
    "shared": "a domain to which another group is attached",
    "blocked": "a domain that lets nothing through",
    "identity": "a domain of the identity",
    "unmanaged": "an unmanaged domain",
    "dma": "a domain for DMA",
    "from-blocked": "a group that is blocked",
    "from-identity": "a group that is attached to the identity",
    "from-paging": "a group that is attached to a domain with tables",
    "same": "the domain to which the group is attached",
    "mapped": "a domain in which something is mapped",
    "empty": "a domain in which nothing is",
    "fresh": "a domain that was never attached",
    "beside": "a page right beside the range that is mapped",
    "left": "tables in which nothing is mapped any more",
    "many": "more than one page",
    "tables": "a range that goes through more than one table",
    "queued": "ranges that wait for a flush, or a flush that is to come later",
    "at-once": "a flush that follows at once",
    "stuck": "a unit that does not answer",
    "slow": "a command that is to end late",
    "for-ever": "a command that is not to end",
    "answers": "a command that is to end as ever",
    "attached": "devices that are attached to tables",
    "nothing": "no device that is",
    "in-call": "an error in the middle of the next call",
    "now": "an error now",
    "lack": "memory that runs short",
}

_WHO = ("nobody", "stream", "streams", "units", "shared", "stuck")
_KINDS = ("blocked", "identity", "unmanaged", "dma")

PAIRS = {
    "create": ("older", "newer", "pages-4k", "pages-16k", "odd", "window"),
    "probe": ("window", "plain", "lack"),
    # One that does not answer cannot be reset, so that removing it fails.
    "remove": ("window", "plain"),
    "lock": ("on", "off", "attached", "nothing"),
    "device": ("alone", "shares", "joins", "stream", "streams", "units", "lack"),
    "release": ("alone", "shares", "attached", "nothing", "units", "stuck"),
    "domain": _KINDS,
    "free": (*_KINDS, "mapped", "empty", "fresh", "queued"),
    "attach": (
        *_KINDS, "from-blocked", "from-identity", "from-paging", "same", "shared", "mapped",
        "empty", "fresh", "stream", "streams", "units", "shares", "stuck", "queued",
        "lack",
    ),
    "detach": ("from-blocked", "from-identity", "from-paging", "mapped", "stream", "streams",
               "units", "shares", "shared", "stuck", "queued"),
    "map": (*_WHO, "beside", "left", "many", "tables", "queued", "lack"),
    "unmap": (*_WHO, "beside", "many", "tables", "queued", "at-once"),
    "flush": (*_WHO, "many"),
    "fault": ("now", "in-call", "attached", "nothing"),
    "stick": ("slow", "for-ever", "answers"),
    "suspend": ("attached", "nothing", "stuck", "queued"),
    "resume": ("attached", "nothing"),
    "shutdown": ("attached", "nothing"),
}  # fmt: skip

_KIND_WORDS = {BLOCKED: "blocked", IDENTITY: "identity", UNMANAGED: "unmanaged", DMA: "dma"}


def met(promise: DartPromise, call: DartCall) -> list[str]:
    """What a legal call meets."""
    words: list[str] = []
    _MET[call.operation.name](promise.state, call, words)
    return words + ["lack"] * (call.operation.args.get("fail_at", 0) != 0)


def _streams(state: DartState, streams: Mapping[int, int]) -> list[str]:
    """Words for streams by unit: how many, and how their units are."""
    count = sum(one.bit_count() for one in streams.values())
    units = [state.units[unit] for unit, some in streams.items() if some]
    words = ["units"] if len(units) > 1 else ["streams" if count > 1 else "stream"]
    return words + ["stuck"] * any(unit.stuck for unit in units)


def _groups_of(state: DartState, number: int) -> list[KnownGroup]:
    return [one for one in state.groups_there() if one.domain == number]


def _who(state: DartState, domain: KnownDomain) -> list[str]:
    """Words for who is attached to a domain."""
    groups = _groups_of(state, domain.number)
    if not groups:
        return ["nobody"]
    streams: dict[int, int] = {}
    for group in groups:
        for unit, some in group.streams().items():
            streams[unit] = streams.get(unit, 0) | some
    return [*_streams(state, streams), *["shared"] * (len(groups) > 1)]


def _tables(domain: KnownDomain) -> list[str]:
    """Words for what a domain has."""
    words = [_KIND_WORDS[domain.kind]]
    if domain.is_paging():
        words.append("mapped" if domain.pages.bytes else "empty")
        words += ["fresh"] * (not domain.made) + ["queued"] * bool(domain.queued)
    return words


def _attached(state: DartState) -> list[str]:
    """Words for all devices, and for their units."""
    some = any(
        one.domain != NONE and state.domains[one.domain].is_paging() for one in state.groups_there()
    )
    words = ["attached" if some else "nothing"]
    units = [unit for unit in state.units if unit.probed]
    words += ["stuck"] * any(unit.stuck for unit in units)
    queued = any(one.exists and one.queued for one in state.domains)
    return words + ["queued"] * queued


def _create(state: DartState, call: DartCall, words: list[str]) -> None:
    operation = call.operation
    words.append("newer" if state.part.newer else "older")
    words.append("pages-4k" if state.page == 0x1000 else "pages-16k")
    words += ["odd"] * bool(operation.number("odd")) + ["window"] * (state.window > 0)


def _unit(state: DartState, call: DartCall, words: list[str]) -> None:
    unit = state.units[call.operation.number("unit")]
    words.append("window" if state.has_window(unit) else "plain")


def _lock(state: DartState, call: DartCall, words: list[str]) -> None:
    words.append("on" if call.operation.number("on") else "off")
    words += _attached(state)


def _device(state: DartState, call: DartCall, words: list[str]) -> None:
    _, streams = streams_of(call.operation)
    words += _streams(state, streams)
    groups = [one for one in state.groups_there() if one.number == call.group]
    words.append("shares" if groups else "alone")
    words += ["joins"] * any(one.domain != NONE for one in groups)


def _group(state: DartState, call: DartCall, words: list[str]) -> None:
    """The group of a device, and what it is attached to."""
    group = state.devices[call.operation.number("device")].group
    if group is None:
        return
    words += _streams(state, group.streams())
    words.append("shares" if len(group.devices) > 1 else "alone")
    if group.domain == NONE or state.domains[group.domain].kind == BLOCKED:
        words += ["from-blocked", "nothing"]
        return
    domain = state.domains[group.domain]
    words += ["attached"] * domain.is_paging() + ["nothing"] * (not domain.is_paging())
    words.append("from-paging" if domain.is_paging() else "from-identity")
    if call.operation.name == "detach":
        words += _tables(domain)
        words += ["shared"] * (len(_groups_of(state, domain.number)) > 1)


def _attach(state: DartState, call: DartCall, words: list[str]) -> None:
    _group(state, call, words)
    domain = call.domain
    group = state.devices[call.operation.number("device")].group
    if domain is None or group is None:
        return
    words += _tables(domain)
    words += ["same"] * (group.domain == domain.number)
    words += ["shared"] * any(one is not group for one in _groups_of(state, domain.number))


def _domain(state: DartState, call: DartCall, words: list[str]) -> None:
    words.append(_KIND_WORDS[call.operation.number("kind")])


def _free(state: DartState, call: DartCall, words: list[str]) -> None:
    if call.domain is not None:
        words += _tables(call.domain)


def _range(state: DartState, call: DartCall, words: list[str]) -> None:
    domain = call.domain
    if domain is None:
        return
    words += _who(state, domain)
    name, first, last = call.operation.name, call.first, call.last
    if name == "unmap":
        words.append("queued" if call.operation.number("queued") else "at-once")
    else:
        words += ["queued"] * bool(domain.queued)
        words += ["left"] * (domain.space.allocated > 2 and not domain.pages.bytes)
    words += ["many"] * (last - first >= state.page)
    reach = state.format.span(state.format.levels - 2)
    words += ["tables"] * (first // reach != last // reach)
    beside = any(0 <= at < state.limit and domain.pages.level_at(at) >= 0
                 for at in (first - 1, last + 1))  # fmt: skip
    words += ["beside"] * beside


def _flush(state: DartState, call: DartCall, words: list[str]) -> None:
    if call.domain is not None and call.due:
        words += _who(state, call.domain)
        words += ["many"] * (len(call.due) > 1)


def _fault(state: DartState, call: DartCall, words: list[str]) -> None:
    operation = call.operation
    words.append("in-call" if operation.number("after") else "now")
    group = state.group_of(operation.number("unit"), operation.number("stream"))
    there = group is not None and group.domain != NONE and state.domains[group.domain].is_paging()
    words.append("attached" if there else "nothing")


def _stick(state: DartState, call: DartCall, words: list[str]) -> None:
    polls = call.operation.number("polls")
    words.append("answers" if polls == 0 else "for-ever" if polls < 0 else "slow")


def _all(state: DartState, call: DartCall, words: list[str]) -> None:
    words += _attached(state)


_MET: Mapping[str, Callable[[DartState, DartCall, list[str]], None]] = {
    "create": _create,
    "probe": _unit,
    "remove": _unit,
    "lock": _lock,
    "device": _device,
    "release": _group,
    "domain": _domain,
    "free": _free,
    "attach": _attach,
    "detach": _group,
    "map": _range,
    "unmap": _range,
    "flush": _flush,
    "fault": _fault,
    "stick": _stick,
    "suspend": _all,
    "resume": _all,
    "shutdown": _all,
}
"""Which words to look at for an operation."""

STATES = States(words=WORDS, pairs=PAIRS, met=met)
"""What operations of system ``dart`` can meet."""
