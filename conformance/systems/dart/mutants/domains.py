"""Seeded bugs of domains, devices, groups and units, those of the first version among them."""

from conformance.mutants.mutant import Mutant

_WITH_WARN = (
    """
    MESSAGE_POWER_ON,
    Trace,
    """,
    """
    MESSAGE_POWER_ON,
    WARN,
    Trace,
    """,
)
_BLOCK = """
# 1. Block them.
for number, some in streams.items():
    for stream in bits_of(some):
        self.units[number].set_mode(stream, DISABLED)
"""
_FLUSH = """
for number, some in streams.items():
    if self.units[number].invalidate(some) != 0:
        result = -errno.ETIMEDOUT
        break
"""
_LET_GO = """
for number, some in streams.items():
    for stream in bits_of(some):
        self.units[number].set_mode(stream, self.mode(self.units[number], domain))
leave(streams, former)
"""
_SWITCH_OFF = """
for stream in bits_of(some):
    unit.set_mode(stream, DISABLED)
    unit.set_roots(stream, [])
unit.invalidate(some)
"""
_SWITCH_BACK = """
unit.set_roots(stream, self.roots(unit, former))
unit.set_mode(stream, self.mode(unit, former))
"""

MUTANTS: tuple[Mutant, ...] = (
    # -- attach -------------------------------------------------------------------------------
    Mutant(
        "move-not-flushed",
        "IS-50",
        "a stream that goes to another domain keeps cached what it had",
        ((_FLUSH, ""),),
        known="KB-50",
    ),
    Mutant(
        "second-unit-not-flushed",
        "IS-50",
        "of the units of a device only the first is flushed when it moves",
        (
            (
                _FLUSH,
                """
                for number, some in streams.items():
                    if self.units[number].invalidate(some) != 0:
                        result = -errno.ETIMEDOUT
                    break
                """,
            ),
        ),
    ),
    Mutant(
        "mode-before-roots",
        "OR-50",
        "a stream is enabled before its roots are written",
        (
            (
                _BLOCK,
                """
                # 1. Block them.
                for number, some in streams.items():
                    for stream in bits_of(some):
                        self.units[number].set_mode(stream, DISABLED)
                        if former is None:
                            self.units[number].set_mode(
                                stream, self.mode(self.units[number], domain)
                            )
                """,
            ),
        ),
    ),
    Mutant(
        "stream-not-enabled",
        "TR-50",
        "a stream has its roots, and stays blocked",
        ((_LET_GO, "leave(streams, former)"),),
    ),
    Mutant(
        "roots-not-written",
        "OR-50",
        "a stream is enabled with the roots that it had",
        (
            (
                """
                self.units[number].set_roots(stream, self.roots(self.units[number], domain))
                """,
                """
                self.units[number].set_roots(stream, self.roots(self.units[number], former))
                """,
            ),
        ),
    ),
    Mutant(
        "undo-forgets-modes",
        "ER-2",
        "streams that could not be moved get their roots back, and stay blocked",
        ((_SWITCH_BACK, "unit.set_roots(stream, self.roots(unit, former))"),),
    ),
    Mutant(
        "undo-forgets-roots",
        "OR-50",
        "streams that could not be moved are enabled with the roots of the other domain",
        (
            (
                _SWITCH_BACK,
                """
                unit.set_roots(stream, [])
                unit.set_mode(stream, self.mode(unit, former))
                """,
            ),
        ),
    ),
    Mutant(
        "undo-of-the-first-unit",
        "ER-2",
        "of the units of a device only the first is as it was after an error",
        (
            (
                """
                for stream in bits_of(some):
                    unit.set_roots(stream, self.roots(unit, former))
                    unit.set_mode(stream, self.mode(unit, former))
                """,
                """
                for stream in bits_of(some):
                    unit.set_roots(stream, self.roots(unit, former))
                    unit.set_mode(stream, self.mode(unit, former))
                break
                """,
            ),
        ),
        known="KB-70",
    ),
    Mutant(
        "undo-of-nothing",
        "ER-2",
        "streams that could not be moved stay blocked",
        (
            (
                """
                self.switch_back(streams, former)
                return result
                """,
                """
                return result
                """,
            ),
        ),
    ),
    Mutant(
        "other-units-accepted",
        "ER-1",
        "a domain that was made for other units is accepted",
        (
            (
                """
                if domain.is_paging() and domain.units and domain.units != units:
                    # Its table was made for others.
                    return -errno.EINVAL
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "identity-without-bypass",
        "ER-1",
        "an identity domain is accepted where there is no bypass of either kind",
        (
            (
                """
                if domain.kind == IDENTITY and not unit.bypass and unit.table is None:
                    return -errno.EINVAL
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "bypass-as-translation",
        "OR-50",
        "identity is translation even where the unit has bypass",
        (
            (
                """
                if domain.kind == IDENTITY and unit.bypass:
                    return BYPASS
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "half-made-table-left",
        "RC-1",
        "roots that were made before memory ran out stay behind",
        (
            (
                """
                for made in self.roots:
                    self.memory.free(made)
                self.roots.clear()
                """,
                """
                self.roots.clear()
                """,
            ),
        ),
    ),
    # -- detach and free ----------------------------------------------------------------------
    Mutant(
        "detach-not-flushed",
        "IS-50",
        "a stream that is detached keeps cached what it had",
        (
            (
                _SWITCH_OFF,
                """
                for stream in bits_of(some):
                    unit.set_mode(stream, DISABLED)
                    unit.set_roots(stream, [])
                """,
            ),
        ),
    ),
    Mutant(
        "detach-leaves-mode",
        "TR-50",
        "a stream that is detached has no root, and its mode still",
        (
            (
                _SWITCH_OFF,
                """
                for stream in bits_of(some):
                    unit.set_roots(stream, [])
                unit.invalidate(some)
                """,
            ),
        ),
    ),
    Mutant(
        "detach-leaves-roots",
        "TR-50",
        "a stream that is detached is blocked, and its roots are left",
        (
            (
                _SWITCH_OFF,
                """
                for stream in bits_of(some):
                    unit.set_mode(stream, DISABLED)
                unit.invalidate(some)
                """,
            ),
        ),
    ),
    Mutant(
        "detach-of-the-device",
        "TR-50",
        "when a group is detached only the streams of the device that was named are blocked",
        (
            (
                "self.switch_off(group.streams(), group.domain)",
                "self.switch_off(device.streams, group.domain)",
            ),
        ),
    ),
    Mutant(
        "free-leaves-table",
        "RC-1",
        "a domain is freed without its table",
        (
            (
                """
                if domain.table is not None:
                    domain.table.destroy()
                    domain.table = None
                self.domains[number] = None
                """,
                """
                self.domains[number] = None
                """,
            ),
        ),
    ),
    Mutant(
        "free-leaves-lower-tables",
        "RC-1",
        "a domain is freed with its roots alone",
        (
            (
                """
                for root in self.roots:
                    self.free_below(root, 1)
                self.roots.clear()
                """,
                """
                for root in self.roots:
                    self.memory.free(root)
                self.roots.clear()
                """,
            ),
        ),
    ),
    Mutant(
        "roots-freed-twice",
        "RC-2",
        "the root of a domain is freed once more at the end",
        (
            (
                """
                for root in self.roots:
                    self.free_below(root, 1)
                self.roots.clear()
                """,
                """
                for root in self.roots:
                    self.free_below(root, 1)
                self.memory.free(self.roots.pop())
                self.roots.clear()
                """,
            ),
        ),
    ),
    Mutant(
        "freed-while-cached",
        "TL-2",
        "a domain is freed although a stream that has left it was never seen flushed",
        (
            (
                """
                if unit.unflushed and unit.powered and unit.invalidate(unit.unflushed) != 0:
                    return -errno.ETIMEDOUT
                """,
                """
                continue
                """,
            ),
        ),
    ),
    Mutant(
        "freed-while-attached",
        "RC-50",
        "a domain is freed while devices are attached to it",
        (
            (
                """
                if self.in_use(domain):
                    return -errno.EBUSY
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "never-attached-warns",
        "PG-3",
        "a domain that was never attached is freed with a warning",
        (
            _WITH_WARN,
            (
                "# 2. Nobody can walk them now.",
                """
                if domain.table is None:
                    self.memory.trace.emit(WARN)
                # 2. Nobody can walk them now.
                """,
            ),
        ),
    ),
    Mutant(
        "refusal-warns",
        "PG-3",
        "a device that cannot be attached is refused with a warning",
        (
            _WITH_WARN,
            (
                """
                if domain.is_paging() and unit.forced:
                    return -errno.EINVAL
                """,
                """
                if domain.is_paging() and unit.forced:
                    self.memory.trace.emit(WARN)
                    return -errno.EINVAL
                """,
            ),
        ),
    ),
    # -- devices and groups -------------------------------------------------------------------
    Mutant(
        "group-for-each-device",
        "IS-51",
        "a device that shares a stream with others that are in no domain is in a group of its own",
        (
            (
                """
                if found:
                    group = found[0]
                """,
                """
                if found and found[0].domain is not None:
                    group = found[0]
                """,
            ),
        ),
    ),
    Mutant(
        "two-groups-bridged",
        "ER-1",
        "a device with streams of two groups is put in the first",
        (
            (
                """
                if len(found) > 1:
                    return -errno.EINVAL, 0
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "shared-stream-switched-again",
        "OR-51",
        "a device that joins a group has the streams of the group blocked for a moment",
        (
            (
                "result = self.switch(without(streams, group.streams()), None, domain)",
                "result = self.switch(streams, None, domain)",
            ),
        ),
    ),
    Mutant(
        "new-streams-not-attached",
        "TR-50",
        "the streams of a device that joins a group are not attached to its domain",
        (
            (
                """
                if result == 0:
                    result = self.switch(without(streams, group.streams()), None, domain)
                if result != 0:
                    return result, 0
                """,
                """
                if result != 0:
                    return result, 0
                """,
            ),
        ),
    ),
    Mutant(
        "streams-counted-by-device",
        "OR-51",
        "when one of the devices that share a stream goes, the stream is blocked",
        (
            (
                "self.switch_off(own, group.domain)",
                "self.switch_off(device.streams, group.domain)",
            ),
        ),
    ),
    Mutant(
        "stream-of-the-gone",
        "TR-50",
        "when a device goes its streams stay in the domain",
        (
            (
                """
                if group.domain is not None:
                    self.switch_off(own, group.domain)
                for unit, streams in own.items():
                """,
                """
                for unit, streams in own.items():
                """,
            ),
        ),
    ),
    Mutant(
        "stream-not-checked",
        "ER-1",
        "the number of a stream is not checked",
        (
            (
                """
                if streams[number] >> unit.streams:
                    return -errno.EINVAL, 0
                """,
                """
                streams[number] &= (1 << unit.streams) - 1
                """,
            ),
        ),
    ),
    Mutant(
        "mixes-accepted",
        "ER-1",
        "units with and without bypass are accepted where they must not be",
        (
            (
                """
                if unit.bypass != first.bypass and not self.mixes:
                    return -errno.EINVAL, 0
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "page-sizes-mixed",
        "ER-1",
        "units of different page sizes are accepted for one device",
        (
            (
                """
                if unit.page_bits != first.page_bits:
                    return -errno.EINVAL, 0
                """,
                "",
            ),
        ),
    ),
    # -- what is mapped -----------------------------------------------------------------------
    Mutant(
        "flags-refused",
        "ER-1",
        "a map with a flag that a unit cannot enforce is refused",
        (
            (
                """
                if not prot & (READ | WRITE):
                    return -errno.EINVAL
                """,
                """
                if not prot & (READ | WRITE) or prot & 24:
                    return -errno.EINVAL
                """,
            ),
        ),
    ),
    Mutant(
        "unattached-translates-to-an-error",
        "TR-51",
        "where a domain has no table an errno is told as an address",
        (
            (
                "return 0 if domain.table is None else domain.table.translate(iova)",
                "return -errno.ENODEV if domain.table is None else domain.table.translate(iova)",
            ),
        ),
    ),
    Mutant(
        "identity-translates-to-nothing",
        "TR-51",
        "an address in an identity domain leads nowhere",
        (
            (
                """
                if domain.kind == IDENTITY:
                    return iova
                """,
                "",
            ),
        ),
    ),
    # -- software bypass ----------------------------------------------------------------------
    Mutant(
        "bypass-window-short",
        "TR-1",
        "the last page of the window of software bypass is not mapped",
        (
            (
                "first, pa, size = self.window",
                "first, pa, size = self.window\nsize -= table.page",
            ),
        ),
    ),
    Mutant(
        "bypass-window-shifted",
        "TR-1",
        "software bypass leads to where the window begins in the input",
        (
            (
                "first, pa, size = self.window",
                "first, pa, size = self.window\npa = first",
            ),
        ),
    ),
    Mutant(
        "bypass-table-left",
        "RC-1",
        "a unit goes without the table of its software bypass",
        (
            (
                """
                if unit.table is not None:
                    unit.table.destroy()
                    unit.table = None
                return 0
                """,
                """
                unit.table = None
                return 0
                """,
            ),
        ),
    ),
    Mutant(
        "half-made-bypass-left",
        "RC-1",
        "when memory runs out in a probe the tables made so far stay behind",
        (
            (
                """
                if result != 0:
                    table.destroy()
                    return result
                """,
                """
                if result != 0:
                    return result
                """,
            ),
        ),
    ),
    Mutant(
        "unit-found-twice",
        "ER-1",
        "a unit that works is found a second time",
        (
            (
                """
                if unit.probed:
                    return -errno.EBUSY
                """,
                """
                if unit.probed:
                    return 0
                """,
            ),
        ),
    ),
    Mutant(
        "table-used-after-free",
        "RC-3",
        "entries of a domain are cleared after its tables were freed",
        (
            (
                """
                for root in self.roots:
                    self.free_below(root, 1)
                self.roots.clear()
                """,
                """
                for root in self.roots:
                    self.free_below(root, 1)
                    self.memory.store(root, 0, 0)
                self.roots.clear()
                """,
            ),
        ),
    ),
)
