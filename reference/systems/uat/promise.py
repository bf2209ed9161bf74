"""The promise of a UAT driver to its callers, and what GPU and firmware may still use.

Callers are told contexts, addresses and results; :class:`UatState` has what they were told, and
follows the events: which context has which root, who may walk what, which lines the firmware may
have cached. Like the TLB, that cache is *maximal*: a page that the firmware could use as a cached
one at any instant may have a line, until a range that covers it was cleaned at an instant at which
it could not. :class:`UatPromise` says which calls have to succeed, and moves all of it on.

Which slot a VM gets, and what has room, is reckoned here from what callers did, and by the driver
from what it holds: that both reckon it is meant.

Source: formats.md A.1 to A.9, F.1; semantics.md (when a duty falls due).
"""

import errno
from collections.abc import Iterator, Sequence
from typing import Final

from mypy_extensions import i64

from reference.calls import Broken, Call, Traits
from reference.formats.access import CACHE, PRIV
from reference.formats.format import Geometry
from reference.formats.uat import UAT
from reference.hardware.context import Context, Space
from reference.hardware.machine import Machine
from reference.hardware.observation import Observation
from reference.hardware.tlb import Fact
from reference.hardware.walker import NO_ROOT
from reference.operations import Operation, Result
from reference.systems.uat.device import (
    AP,
    CLEANED,
    CUR_SLOT,
    DROPPED,
    DSB,
    ENTERED,
    FW,
    FW_TURN,
    GIVEN,
    HALF,
    HALF_BITS,
    HANDOFF,
    HOLD,
    IDLE,
    KERNEL_ENTRY,
    KERNEL_FIRST,
    KERNEL_LAST,
    LINE,
    LOADED,
    LOCK_AP,
    LOCK_FW,
    LOWER,
    NO_CONTEXT,
    PAGE,
    PAGETABLES,
    PROTECTIONS,
    RING_READ,
    RING_WRITE,
    SEEN,
    SPACE,
    STORED,
    TAKEN,
    TLBI,
    TTBS,
    TURN,
    UNK2,
    UPPER,
    USER_FIRST,
    USER_LAST,
    Scope,
    decode_tlbi,
    split,
    ttb0,
    ttb1,
    ttb_of,
)
from reference.trace import (
    ALLOC,
    ALLOC_FAILED,
    BARRIER,
    FILL,
    FREE,
    SCOPE_LEAF,
    SCOPE_TAG,
    SCOPE_WALK,
    STORE,
    WARN,
    WORDS,
)
from reference.translations import Translations
from reference.words import to_unsigned

KERNEL: Final = -1
"""The number of the kernel's VM; those of users count from 0."""
LOWEST: Final = -2
"""That of the empty one in the lower half of context 0."""
LIMIT_VMS: Final = 80
"""VMs that can ever be made."""
LIMIT_MAPPINGS: Final = 256
"""Mappings that can ever be made."""
BOOT_PAGES: Final = 3
"""Tables of the upper half that are the boot loader's."""
ERESTARTSYS: Final = 512
"""The kernel's: whoever waited was interrupted."""
ALL: Final = 1 << 64
"""Bytes that 64-bit addresses reach."""

NO_ROOM: Final = "no room"
"""Why a map is refused that asks for something."""

GLOBAL_WALK: Final = SCOPE_LEAF | SCOPE_WALK


class UatMapping:
    """``size`` bytes at ``va`` (64 bits), in a node of ``room`` bytes, lead to ``pieces``.

    ``cached``: the firmware caches it; ``prot``: as it is promised now. ``may_hold``: the firmware
    may have lines of it. ``open``: it is there.
    """

    def __init__(
        self,
        vm: "UatVm",
        va: int,
        size: int,
        room: int,
        prot: int,
        pieces: list[tuple[int, int]],
    ) -> None:
        self.vm: UatVm = vm
        self.va: int = va
        self.size: int = size
        self.room: int = room
        self.prot: int = prot
        self.cached: bool = not prot & CACHE
        self.pieces: list[tuple[int, int]] = pieces
        self.may_hold: bool = False
        self.open: bool = True

    def first(self) -> int:
        """Its first address in the half."""
        return self.va & (HALF - 1)

    def last(self) -> int:
        """Its last address in the half."""
        return self.first() + self.size - 1


class UatVm:
    """One address space, as callers have it.

    ``space``: its tables, and who walks them; ``pages``: what is promised, by addresses in the
    half. ``first`` to ``last``: its window, 64 bits. ``users``: how many hold it bound;
    ``context``: the one that it has then, or had last, -1 for none; ``since``: when it got it.
    ``root``: the address of its root table.
    """

    def __init__(self, number: int, space: Space) -> None:
        self.number: int = number
        self.space: Space = space
        self.half: int = UPPER if number == KERNEL else LOWER
        self.first: int = KERNEL_FIRST if number == KERNEL else USER_FIRST
        self.last: int = KERNEL_LAST if number == KERNEL else USER_LAST
        self.pages: Translations = Translations(UAT)
        self.mappings: list[UatMapping] = []
        self.users: int = 0
        self.context: int = -1
        self.since: int = 0
        self.root: int = -1
        self.exists: bool = True

    def is_walked(self) -> bool:
        """Whether a context walks it."""
        return any(bool(context.roots) for context in self.space.contexts)

    def taken(self) -> list[tuple[int, int]]:
        """(first, last) of the nodes that are taken, ascending; those of no bytes left out."""
        return sorted([(one.va, one.va + one.room - 1) for one in self.mappings if one.room > 0])

    def holes(self) -> list[tuple[int, int]]:
        """(first, last) of what lies between them."""
        found: list[tuple[int, int]] = []
        at = self.first
        for first, last in self.taken():
            if first > at:
                found.append((at, first - 1))
            at = last + 1
        if at <= self.last:
            found.append((at, self.last))
        return found

    def has_room(self, size: int, align: int, first: int, last: int) -> bool:
        """Whether so many bytes have room within a range, at a multiple."""
        if size <= 0:
            return False
        step = max(align, 1)
        for low, high in self.holes():
            at = max(low, first)
            at += -at % step
            if at + size - 1 <= min(high, last):
                return True
        return False

    def is_free(self, first: int, last: int) -> bool:
        """Whether a range lies in one hole."""
        for low, high in self.holes():
            if low <= first and last <= high:
                return True
        return False


class RootStore:
    """The driver stored ``value`` to a root of ``context``; ``locked``: with the lock."""

    def __init__(self, event: int, context: int, upper: bool, value: int, locked: bool) -> None:
        self.event: int = event
        self.context: int = context
        self.upper: bool = upper
        self.value: int = value
        self.locked: bool = locked


class Entry:
    """The state of flush entry ``number`` went from ``old`` to ``new``, by ``actor``."""

    def __init__(self, event: int, number: int, actor: int, old: int, new: int) -> None:
        self.event: int = event
        self.number: int = number
        self.actor: int = actor
        self.old: int = old
        self.new: int = new


class UatSeen:
    """What the events of one call said.

    ``both``: event at which both had the lock, -1 for none; ``taken``, ``given``, ``turns``: how
    often it was taken, and the driver gave it back, and the turn to the firmware. ``roots``: what
    it stored to roots. ``shared``: (event, context, root) of contexts that got another root while
    the firmware was in them. ``entries``: what became of flush entries. ``tlbis``: (event, scope).
    ``unseen``: (event, address) of a root that is not visible when it has to be.
    ``untold``: (event, address) of a message that the firmware sees before what it is about,
    ``messages``: how many it sees. ``early``: (event, address) of what the driver read before it
    had the lock, or an answer; ``reads``: what it reads with one of them.
    ``left``: (event, lines) that the firmware kept of what it said to have cleaned;
    ``cleanings``, ``entered``: how often it cleaned, and changed context. ``holds``: (event, VM,
    context, users). ``linked``: (event, index) of stores to the root of the upper half.
    ``warned``: event of a warning, -1 for none.
    """

    def __init__(self) -> None:
        self.observations: list[tuple[UatVm, Observation]] = []
        self.both: int = -1
        self.taken: int = 0
        self.given: int = 0
        self.turns: int = 0
        self.roots: list[RootStore] = []
        self.shared: list[tuple[int, int, int]] = []
        self.entries: list[Entry] = []
        self.tlbis: list[tuple[int, Scope]] = []
        self.unseen: list[tuple[int, int]] = []
        self.untold: list[tuple[int, int]] = []
        self.messages: int = 0
        self.early: list[tuple[int, int]] = []
        self.reads: int = 0
        self.left: list[tuple[int, int]] = []
        self.cleanings: int = 0
        self.holds: list[tuple[int, int, int, int]] = []
        self.linked: list[tuple[int, int]] = []
        self.entered: int = 0
        self.failed_allocations: int = 0
        self.warned: int = -1


class UatState:
    """A GPU, its firmware, and all VMs. ``contexts``: how many there are.

    ``switch_flushes``: the firmware flushes what it has cached whenever it changes context.
    ``words``: what is visible at shared addresses. ``inside``, ``loaded``: the context that the
    firmware is in, and the root that it has there.
    """

    def __init__(self, contexts: int, oas: int, switch_flushes: bool) -> None:
        self.geometry: Geometry = UAT.geometry(HALF_BITS)
        self.contexts: int = contexts
        self.oas: int = oas
        self.switch_flushes: bool = switch_flushes
        self.machine: Machine = Machine(self.geometry, True)
        nobody = self.machine.add_space()
        self.lowest: UatVm = UatVm(LOWEST, self.machine.add_space())
        self.kernel: UatVm = UatVm(KERNEL, self.machine.add_space())
        self.vms: list[UatVm] = []
        self.mappings: list[UatMapping] = []
        self.gpu: list[Context] = []
        self.fw: list[Context] = []
        for context in range(contexts):
            self.gpu.append(self.machine.add_context(nobody, 0, 0, context))
            self.fw.append(self.machine.add_context(nobody, 0, 1, context))
        self.upper_gpu: Context = self.machine.add_context(self.kernel.space, 0, 0, 0)
        self.upper_fw: Context = self.machine.add_context(self.kernel.space, 0, 1, 0)
        self.words: dict[int, int] = {}
        self.entry_states: dict[int, int] = {}
        self.stored_roots: dict[int, int] = {}
        # How many stores of the driver to an address were made, and are visible; what was made when
        # it stored a message's number; that number.
        self.made_stores: dict[int, int] = {}
        self.visible_stores: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self.last_message: int = 0
        self.inside: int = NO_CONTEXT
        self.loaded: int = 0
        self.has_lock: list[bool] = [False, False]
        # The same, until the flag is seen to be down.
        self.owns_lock: list[bool] = [False, False]
        # What the firmware has cached, by (64-bit address, physical address): of which context.
        self.lines: dict[tuple[int, int], int] = {}
        self.current: UatVm = self.lowest
        self.tickets: int = 0
        self.open_tickets: list[int] = []
        # When slots were given back and taken, in the order of calls.
        self.clock: int = 0
        self.given_back: list[int] = [0] * contexts
        self.taken_at: list[int] = [0] * contexts
        self.counts_before: list[i64] = self.machine.counts.copy()
        self.seen: UatSeen = UatSeen()

    # -- who is there -------------------------------------------------------------------------

    def vm(self, number: int) -> UatVm | None:
        """A VM that callers have; None if there is none of that number."""
        if number == KERNEL:
            return self.kernel
        if not 0 <= number < len(self.vms) or not self.vms[number].exists:
            return None
        return self.vms[number]

    def all_vms(self) -> list[UatVm]:
        """Every VM, those without a number included."""
        return [self.kernel, self.lowest, *self.vms]

    def vm_of(self, space: i64) -> UatVm | None:
        """The VM whose tables a space has."""
        for vm in self.all_vms():
            if vm.space.number == space:
                return vm
        return None

    def holder(self, context: int) -> UatVm | None:
        """The VM that is bound and has a context."""
        for vm in self.vms:
            if vm.exists and vm.users > 0 and vm.context == context:
                return vm
        return None

    def owns(self, vm: UatVm) -> bool:
        """Whether nobody has had the context of a VM since it did."""
        return vm.context > 0 and self.taken_at[vm.context] == vm.since

    def slot_for(self, vm: UatVm) -> int:
        """The context that a VM has to get: its former one, or that given back longest ago.

        -1: there is none (formats.md A.6).
        """
        if self.owns(vm) and self.holder(vm.context) is None:
            return vm.context
        found = -1
        for context in range(1, self.contexts):
            if self.holder(context) is None and (
                found < 0 or self.given_back[context] < self.given_back[found]
            ):
                found = context
        return found

    # -- what the firmware may use --------------------------------------------------------------

    def firmware_can_be_in(self, vm: UatVm) -> bool:
        """Whether the firmware can use a VM's addresses now, without a switch that flushes."""
        if vm.number == KERNEL:
            return self.words.get(ttb1(0), 0) & 1 == 1
        if vm.root < 0:
            return False
        if self.inside != NO_CONTEXT and self.loaded & ((1 << 48) - 2) == vm.root:
            return True
        if self.switch_flushes:
            return False
        for context in range(1, self.contexts):
            if self.words.get(ttb0(context), 0) == ttb_of(vm.root, context):
                return True
        return False

    def is_usable(self, mapping: UatMapping) -> bool:
        """Whether the firmware can use a page of a mapping as a cached one now."""
        space = mapping.vm.space
        if mapping.size == 0 or not self.firmware_can_be_in(mapping.vm):
            return False
        for _, _, word in space.leaves(mapping.first(), mapping.last()):
            if word >> 2 & 7 == 0:
                return True
        for context in space.contexts:
            if context.observer == FW:
                for fact in context.tlb.leaves_in(mapping.first(), mapping.last()):
                    if fact.word >> 2 & 7 == 0:
                        return True
        return False

    def look_for_lines(self) -> None:
        """After a call: what the firmware can use, it may have lines of."""
        for mapping in self.mappings:
            if mapping.open and mapping.cached and not mapping.may_hold:
                # While nothing is taken down, a cached mapping has cached entries.
                is_cached = not mapping.prot & CACHE and mapping.size > 0
                mapping.may_hold = is_cached and self.firmware_can_be_in(mapping.vm)

    # -- events ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """A call begins."""
        self.counts_before = self.machine.counts.copy()
        self.seen = UatSeen()
        for vm in self.all_vms():
            vm.space.touched_first = 0
            vm.space.touched_last = -1

    def feed(self, words: list[int], start: i64) -> None:
        """Take the events of a flat trace from event number ``start`` to its end."""
        event: i64 = start
        position: i64 = start * WORDS
        end: i64 = len(words)
        machine = self.machine
        while position < end:
            machine.now = event
            kind: i64 = words[position] & 0xFFFF
            a: i64 = words[position + 1]
            b: i64 = words[position + 2]
            c: i64 = words[position + 3]
            if kind in (STORE, FILL, BARRIER, FREE):
                if kind == STORE and a & ~(PAGE - 1) == PAGETABLES:
                    self.seen.linked.append((event, (a & (PAGE - 1)) >> 3))
                machine.take(kind, a, b, c)
            elif kind == ALLOC:
                self._allocate(a, b)
            elif kind == SEEN:
                self._visible(event, a, to_unsigned(b), c)
            elif kind == STORED:
                self._stored(event, a, to_unsigned(b), c)
            else:
                self._tell(event, kind, a, b, c)
            event += 1
            position += WORDS
        machine.now = event
        self._find_tables()
        found, machine.observations = machine.observations, []
        for one in found:
            vm = self.vm_of(one.space)
            if vm is not None:
                self.seen.observations.append((vm, one))

    def _find_tables(self) -> None:
        """What memory says of a VM does not depend on whether a context walks it."""
        for vm in self.all_vms():
            root = PAGETABLES if vm.number == KERNEL else vm.root
            there = self.machine.memory.pages.get(root) is not None
            vm.space.walker.root = root if vm.exists and there else NO_ROOT

    def _allocate(self, pa: i64, size: i64) -> None:
        vm = self.current
        self.machine.current = vm.space.number
        self.machine.take(ALLOC, pa, size, 0)
        # The root of the upper half is not the kernel's own.
        boot = vm.number == KERNEL and vm.space.allocated <= BOOT_PAGES
        if vm.root < 0 and not boot:
            vm.root = pa

    def _tell(self, event: i64, kind: i64, a: i64, b: i64, c: i64) -> None:
        seen = self.seen
        if kind == SPACE:
            for vm in self.all_vms():
                if vm.number == a:
                    self.current = vm
        elif kind in (TAKEN, GIVEN):
            self.has_lock[a] = kind == TAKEN
            seen.taken += 1 if kind == TAKEN else 0
            seen.given += 1 if kind == GIVEN and a == AP else 0
            if kind == TAKEN:
                self.owns_lock[a] = True
                if self.owns_lock[1 - a] and seen.both < 0:
                    seen.both = event
        elif kind == LOADED:
            self._read(event, a, to_unsigned(b), c)
        elif kind == TLBI:
            self._invalidate(event, a, to_unsigned(b))
        elif kind == DSB:
            for ticket in self.open_tickets:
                self.machine.invalidations.complete(ticket)
            self.open_tickets.clear()
        elif kind == ENTERED:
            self._entered(event, a, to_unsigned(b))
        elif kind == LINE:
            self._line(to_unsigned(a), b, c)
        elif kind == CLEANED:
            self._cleaned(event, a, to_unsigned(b), c)
        elif kind == HOLD:
            seen.holds.append((event, a, b, c))
        elif kind == ALLOC_FAILED:
            seen.failed_allocations += 1
        elif kind == WARN:
            seen.warned = event

    def _stored(self, event: i64, address: i64, value: int, actor: i64) -> None:
        """An actor has made a store; in the order in which it makes them."""
        seen = self.seen
        if actor == AP and (HANDOFF + 0x20 <= address < UNK2 or address > RING_READ):
            self.made_stores[address] = self.made_stores.get(address, 0) + 1
        elif address == RING_WRITE:
            self.told = dict(self.made_stores)
            self.last_message = value
        if address == TURN and actor == AP:
            seen.turns += 1 if value == FW_TURN else 0
        elif TTBS <= address < PAGETABLES:
            context, upper = (address - TTBS) // 16, (address - TTBS) % 16 == 8
            if actor == AP:
                self.stored_roots[address] = value
                seen.roots.append(RootStore(event, context, upper, value, self.has_lock[AP]))
        elif HANDOFF + 0x20 <= address < UNK2 and (address - HANDOFF - 0x20) % 0x18 == 0:
            number = (address - HANDOFF - 0x20) // 0x18
            old = self.entry_states.get(number, IDLE)
            self.entry_states[number] = value
            seen.entries.append(Entry(event, number, actor, old, value))

    def _read(self, event: i64, address: i64, value: int, actor: i64) -> None:
        """The driver has read something: with the lock, or an answer, it is what is there."""
        is_state = HANDOFF + 0x20 <= address < UNK2
        if actor != AP or not (is_state or (address == CUR_SLOT and self.has_lock[AP])):
            return
        self.seen.reads += 1
        answered = self.words.get(RING_READ, 0) == self.last_message
        if value != self.words.get(address, 0) and (answered or not is_state):
            self.seen.early.append((event, address))

    def _visible(self, event: i64, address: i64, value: int, actor: i64) -> None:
        """A store is visible to all."""
        before = self.words.get(address, 0)
        self.words[address] = value
        if actor == AP:
            self.visible_stores[address] = self.visible_stores.get(address, 0) + 1
        if address == RING_WRITE:
            self.seen.messages += 1
            for field in sorted(self.told):
                if self.visible_stores.get(field, 0) < self.told[field]:
                    self.seen.untold.append((event, field))
        elif address == LOCK_AP and value == 0:
            self._look_at_roots(event)
        if value == 0 and address in (LOCK_AP, LOCK_FW):
            self.owns_lock[AP if address == LOCK_AP else FW] = False
        if TTBS <= address < PAGETABLES and value != before:
            context, upper = (address - TTBS) // 16, (address - TTBS) % 16 == 8
            if upper and context == 0:
                self._walk_from(self.upper_gpu, value)
                if value & 1:
                    # The firmware keeps its upper half, whatever the GPU has.
                    self._walk_from(self.upper_fw, value)
            elif not upper and context < self.contexts:
                if self.inside == context != NO_CONTEXT and value != self.loaded:
                    self.seen.shared.append((event, context, self.loaded))
                self._walk_from(self.gpu[context], value)
                if not self.switch_flushes and self.inside != context:
                    self._walk_from(self.fw[context], value)

    def _walk_from(self, context: Context, ttb: int) -> None:
        """A context walks from the root in a word, or from none."""
        root = ttb & ((1 << 48) - 2)
        if ttb & 1 == 0:
            self.machine.detach(context)
            return
        owner: UatVm | None = None
        for vm in self.all_vms():
            if vm.root == root and vm.half == LOWER:
                owner = vm
        if root == PAGETABLES:
            owner = self.kernel
        if owner is None:
            self.machine.detach(context)
        elif 0 not in context.roots or context.roots[0].pa != root:
            context.tag = ttb >> 48
            self.machine.attach(context, owner.space, root)

    def _entered(self, event: int, context: int, ttb: int) -> None:
        """The firmware has another context in its lower half."""
        self.seen.entered += 1
        former = self.inside
        self.inside, self.loaded = context, ttb
        if former != NO_CONTEXT and former < self.contexts:
            if self.switch_flushes:
                self.machine.detach(self.fw[former])
            else:
                self._walk_from(self.fw[former], self.words.get(ttb0(former), 0))
        if self.switch_flushes:
            for one in self.fw:
                if not one.tlb.is_empty():
                    self.machine.spaces[one.space].forget_all(one)
            kept = sum([1 for va, _ in self.lines if va < HALF])
            if kept:
                self.seen.left.append((event, kept))
        if context != NO_CONTEXT and context < self.contexts:
            self._walk_from(self.fw[context], ttb)
        if self.switch_flushes:
            for mapping in self.mappings:
                if mapping.cached and mapping.vm.half == LOWER and mapping.open:
                    mapping.may_hold = self.is_usable(mapping)

    def _cleaned(self, event: i64, entry: int, va: int, size: int) -> None:
        """The firmware has cleaned a range, as it understood it."""
        self.seen.cleanings += 1
        half, first = split(va)
        last = first + size - 1
        kept = 0
        for (line, _), owner in self.lines.items():
            kept += 1 if owner == entry and va <= line < va + size else 0
        if kept:
            self.seen.left.append((event, kept))
        for mapping in self.mappings:
            vm = mapping.vm
            mine = entry == KERNEL_ENTRY if vm.half == UPPER else entry == vm.context
            inside = vm.half == half and first <= mapping.first() and mapping.last() <= last
            if mapping.open and mapping.may_hold and mine and inside:
                mapping.may_hold = self.is_usable(mapping)

    def _line(self, va: int, pa: int, how: int) -> None:
        """The firmware has a line, or drops it."""
        if how == DROPPED:
            self.lines.pop((va, pa), None)
        elif (va, pa) not in self.lines:
            self.lines[(va, pa)] = KERNEL_ENTRY if va >= HALF else self.inside

    def _invalidate(self, event: i64, command: int, operand: int) -> None:
        scope = decode_tlbi(command, operand)
        self.seen.tlbis.append((event, scope))
        self._look_at_roots(event)
        reached: list[Context] = []
        for one in self.machine.contexts:
            upper = one is self.upper_gpu or one is self.upper_fw
            half = UPPER if upper else LOWER
            if scope.half in (-1, half) and scope.asid in (-1, one.tag):
                reached.append(one)
        if scope.first <= scope.last and reached:
            self.tickets += 1
            what = GLOBAL_WALK if scope.by_address else GLOBAL_WALK | SCOPE_TAG
            self.machine.invalidations.issue(self.tickets, scope.first, scope.last, what, reached)
            self.open_tickets.append(self.tickets)

    def _look_at_roots(self, event: int) -> None:
        """By now every root that was stored has to be visible."""
        for address in sorted(self.stored_roots):
            if self.words.get(address, 0) != self.stored_roots[address]:
                self.seen.unseen.append((event, address))

    # -- questions of rules ---------------------------------------------------------------------

    def foreign(self, vm: UatVm) -> Fact | None:
        """A cached leaf in the contexts of a VM that it does not promise."""
        return vm.space.stale(vm.pages, 0, HALF - 1)

    def is_locked(self) -> bool:
        """Whether the driver's half of the lock is taken."""
        return self.has_lock[AP] or self.words.get(LOCK_AP, 0) != 0


class UatCall(Call):
    """One call. ``first`` to ``last``: the addresses that it is about, 64 bits.

    ``vm``: the address space that it is about, ``mapping``: the mapping; None for none. ``owned``:
    the context whose root it may change, ``entry``: the flush entry that it may use, -1 for none;
    ``slot``: the context that ``bind`` has to give, ``changes``: which is another one than before.
    ``was_free``: whether what a map gave was free, and in the window.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.vm: UatVm | None = None
        self.mapping: UatMapping | None = None
        self.owned: int = -1
        self.entry: int = -1
        self.slot: int = -1
        self.changes: bool = False
        self.was_free: bool = True


def pieces_of(pa: int, size: int, piece: int, bad: int) -> list[tuple[int, int]]:
    """(physical address, bytes) of what ``size`` bytes from ``pa`` on lead to.

    ``piece``: pages of each piece, behind which so many are left out; 0: all in one. ``bad``: the
    number of the piece, from 1, that begins in the middle of a page; 0 for none.
    """
    found: list[tuple[int, int]] = []
    length = piece * PAGE if piece else max(size, 1)
    done = 0
    while done < size:
        at = pa + done * (2 if piece else 1)
        if len(found) + 1 == bad:
            at += PAGE // 2
        found.append((at, min(length, size - done)))
        done += length
    return found


class UatPromise:
    """What callers were told, with what events say of GPU and firmware.

    ``made``: all of it; None before it was made, and after it is gone.
    """

    def __init__(self, traits: Traits) -> None:
        self.made: UatState | None = None
        self.gone: bool = False
        self.started: bool = False

    @property
    def state(self) -> UatState:
        """All of it; there has to be something."""
        assert self.made is not None
        return self.made

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""
        return -1 if self.made is None else self.made.seen.warned

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """A machine with the defaults goes without saying, and is told."""
        if first and self.made is None and operation.name != "create":
            return Operation("create", {"order": "sc", "switch_flushes": 1})
        return None

    def takes(self, operation: Operation) -> bool:
        """Whether callers may make the call now; the rest of them is misuse, and passed over."""
        name = operation.name
        if name == "create":
            return not self.started and not self.gone
        if not self.started or self.gone or self.made is None:
            return False
        state = self.made
        if name == "vm":
            return len(state.vms) < LIMIT_VMS
        if name == "drop":
            return self._mapping(operation) is not None
        if name == "fw_touch":
            mapping = self._mapping(operation)
            return mapping is not None and (mapping.vm.number == KERNEL or mapping.vm.users > 0)
        if name == "destroy":
            return not self._is_used()
        if "vm" not in operation.args:
            return True
        vm = state.vm(operation.number("vm"))
        if vm is None:
            return False
        return self._vm_takes(vm, operation)

    def _vm_takes(self, vm: UatVm, operation: Operation) -> bool:
        name = operation.name
        if name in ("map", "map_io", "map_in_range", "map_at"):
            prot = PROTECTIONS.get(str(operation.args.get("prot", "fw-shared-rw")), 0)
            return len(self.state.mappings) < LIMIT_MAPPINGS and (
                vm.number == KERNEL or not prot & PRIV
            )
        if vm.number == KERNEL:
            return False
        if name == "destroy_vm":
            return vm.users == 0 and not vm.mappings
        return vm.users > 0 or name == "bind"

    def _mapping(self, operation: Operation) -> UatMapping | None:
        number = operation.number("mapping")
        mappings = self.state.mappings
        if not 0 <= number < len(mappings) or not mappings[number].open:
            return None
        return mappings[number]

    def _is_used(self) -> bool:
        """Whether somebody is bound, something is mapped, or a VM is there."""
        state = self.state
        return bool(state.kernel.mappings) or any(vm.exists for vm in state.vms)

    # -- before a call --------------------------------------------------------------------------

    def before(self, operation: Operation) -> UatCall:
        """Sort a call before it is made, and say what it may touch."""
        call = UatCall(operation)
        name = operation.name
        if name == "create":
            self.made = UatState(
                operation.number("contexts"),
                operation.number("oas"),
                bool(operation.number("switch_flushes")),
            )
        state = self.state
        state.begin()
        if operation.args.get("fail_at"):
            call.errors += (-errno.ENOMEM,)
        if name == "create":
            self._before_create(call)
        elif name == "vm":
            state.vms.append(UatVm(len(state.vms), state.machine.add_space()))
            call.vm = state.vms[-1]
        elif name in ("drop", "fw_touch"):
            call.mapping = self._mapping(operation)
            assert call.mapping is not None
            call.vm = call.mapping.vm
            call.first = call.mapping.va
            call.last = call.mapping.va + call.mapping.size - 1
        elif "vm" in operation.args:
            call.vm = state.vm(operation.number("vm"))
        if name == "drop":
            self._before_drop(call)
        elif name == "bind":
            self._before_bind(call)
        elif name == "destroy_vm":
            self._before_destroy_vm(call)
        elif name in ("map", "map_in_range", "map_at", "map_io"):
            self._before_map(call)
        return call

    def _before_create(self, call: UatCall) -> None:
        operation = call.operation
        regions = str(operation.args["regions"])
        if regions.startswith("no-"):
            call.refuse(f"a region is missing: {regions[3:]}", -errno.EINVAL)
        elif regions != "all":
            call.refuse(f"a region will not do: {regions}", -errno.ENOMEM)
        elif operation.args["boot"] == "dead":
            call.refuse("the firmware does not run", -errno.EIO, *call.errors)

    def _before_drop(self, call: UatCall) -> None:
        mapping = call.mapping
        assert mapping is not None
        call.entry = self._entry(mapping.vm)
        if mapping.size:
            mapping.vm.space.touched_first = mapping.first()
            mapping.vm.space.touched_last = mapping.last()
        if call.operation.number("mute") and mapping.cached:
            call.errors += (-errno.ETIMEDOUT,)

    def _entry(self, vm: UatVm) -> int:
        """The flush entry through which a VM's ranges are cleaned; -1 for none."""
        if vm.number == KERNEL:
            return KERNEL_ENTRY
        return vm.context if self.state.owns(vm) else -1

    def _before_bind(self, call: UatCall) -> None:
        state, vm = self.state, call.vm
        assert vm is not None
        if vm.users > 0:
            call.slot = vm.context
            return
        call.slot = state.slot_for(vm)
        call.changes = call.slot != vm.context or not state.owns(vm)
        if call.slot < 0:
            call.refuse("all contexts are taken", -ERESTARTSYS)
        elif call.changes:
            call.owned = call.entry = call.slot
            if call.operation.number("mute"):
                call.errors += (-errno.ETIMEDOUT,)

    def _before_destroy_vm(self, call: UatCall) -> None:
        state, vm = self.state, call.vm
        assert vm is not None
        vm.space.touched_last = HALF - 1
        if state.owns(vm):
            call.owned = vm.context

    def _before_map(self, call: UatCall) -> None:
        """Room, then each piece in order: what fails first says what the call fails with."""
        operation, vm = call.operation, call.vm
        assert vm is not None
        vm.space.touched_last = HALF - 1
        call.entry = self._entry(vm)
        size, room, first, last = self._wish(operation, vm)
        name = operation.name
        if name == "map_at":
            call.first, call.last = first, first + max(size, 1) - 1
            fits = room > 0 and first + room <= ALL and vm.is_free(first, first + room - 1)
        else:
            align = to_unsigned(operation.number("align")) if name == "map_in_range" else 0
            call.first, call.last = max(first, vm.first), min(last, vm.last)
            fits = vm.has_room(room, align, call.first, call.last)
        if not fits:
            call.refuse(NO_ROOM, -errno.ENOSPC)
            return
        done = 0
        for pa, length in self.pieces(operation):
            if (pa | length) & (PAGE - 1) or (name == "map_at" and (first + done) & (PAGE - 1)):
                call.refuse("not whole pages", -errno.EINVAL, *call.errors)
                return
            if pa + length > 1 << self.state.oas:
                call.refuse("beyond physical memory", -errno.ERANGE, *call.errors)
                return
            done += length

    def _wish(self, operation: Operation, vm: UatVm) -> tuple[int, int, int, int]:
        """(bytes, bytes of the node, first, last address) that a map asks for."""
        size = to_unsigned(operation.number("size"))
        name = operation.name
        if name in ("map", "map_io"):
            return size, size + PAGE, vm.first, vm.last
        room = size + PAGE if operation.number("guard") else size
        if name == "map_at":
            return size, room, to_unsigned(operation.number("va")), ALL - 1
        first, end = to_unsigned(operation.number("start")), to_unsigned(operation.number("end"))
        return size, room, first, end - 1

    def pieces(self, operation: Operation) -> list[tuple[int, int]]:
        """What a map leads to."""
        size = to_unsigned(operation.number("size"))
        pa = to_unsigned(operation.number("pa"))
        if operation.name == "map_io":
            return pieces_of(pa, size, 0, 0)
        return pieces_of(pa, size, operation.number("piece"), operation.number("bad"))

    # -- after it -------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> None:
        """Let the views follow the events of a call."""
        self.state.feed(words, begin)

    def after(self, call: UatCall, result: Result, end: int) -> None:
        """What callers were told by a call that came back."""
        state, name = self.state, call.operation.name
        done = result.result == 0
        if name == "create":
            self.started = done
        elif name == "vm" and not done:
            state.vms.pop().space.take_back()
        elif name == "bind" and done:
            self._bound(call, result)
        elif name == "clone" and done:
            assert call.vm is not None
            call.vm.users += 1
        elif name == "unbind" and done:
            self._unbound(call)
        elif name in ("map", "map_in_range", "map_at", "map_io") and done:
            self._mapped(call, result)
        elif name == "drop":
            self._dropped(call, result)
        elif name == "destroy_vm" and done:
            assert call.vm is not None
            call.vm.exists = False
        elif name == "destroy":
            self.gone = True
        state.look_for_lines()

    def _bound(self, call: UatCall, result: Result) -> None:
        state, vm = self.state, call.vm
        assert vm is not None
        vm.users += 1
        if vm.users == 1 and call.changes and 0 < result.value < state.contexts:
            state.clock += 1
            vm.context = result.value
            vm.since = state.clock
            state.taken_at[vm.context] = state.clock

    def _unbound(self, call: UatCall) -> None:
        state, vm = self.state, call.vm
        assert vm is not None
        vm.users -= 1
        if vm.users == 0 and vm.context >= 0:
            state.clock += 1
            state.given_back[vm.context] = state.clock

    def _mapped(self, call: UatCall, result: Result) -> None:
        """A mapping is there: its pages are promised, if it lies where one can."""
        operation, vm = call.operation, call.vm
        assert vm is not None
        size, room, _, _ = self._wish(operation, vm)
        va = to_unsigned(result.value)
        call.first, call.last = va, va + max(size, 1) - 1
        call.was_free = room == 0 or vm.is_free(va, va + room - 1)
        prot = self.prot_of(operation)
        mapping = UatMapping(vm, va, size, room, prot, self.pieces(operation))
        self.state.mappings.append(mapping)
        call.mapping = mapping
        vm.mappings.append(mapping)
        if not call.was_free or va & (PAGE - 1) or size & (PAGE - 1):
            return
        at = mapping.first()
        for pa, length in mapping.pieces:
            vm.pages.add_range(at, pa, length, prot)
            at += length

    def prot_of(self, operation: Operation) -> int:
        """The protection of a map."""
        if operation.name == "map":
            return PROTECTIONS["fw-shared-rw"]
        if operation.name == "map_io":
            return PROTECTIONS["fw-mmio-rw" if operation.number("writable") else "fw-mmio-ro"]
        return PROTECTIONS[str(operation.args["prot"])]

    def _dropped(self, call: UatCall, result: Result) -> None:
        mapping = call.mapping
        assert mapping is not None
        vm = mapping.vm
        if mapping.size and not mapping.size & (PAGE - 1):
            vm.pages.remove(mapping.first(), mapping.last())
        if result.result == 0:
            mapping.open = False
            vm.mappings.remove(mapping)
            return
        # It stays, and the firmware caches no more of it.
        mapping.prot |= CACHE
        at = mapping.first()
        for pa, length in mapping.pieces:
            vm.pages.add_range(at, pa, length, mapping.prot)
            at += length

    def changed(self, call: UatCall, result: Result) -> bool:
        """Whether mappings, binds or VMs changed, or the firmware was given something to do."""
        return result.result == 0 and call.operation.name not in ("switch", "fw_run")

    # -- going on -------------------------------------------------------------------------------

    def take_over(self, call: UatCall, result: Result, broken: Sequence[Broken]) -> bool:
        """What a target does that breaks a rule is undone."""
        return not broken

    def is_lost(self) -> bool:
        """Not even the machine could be made without what is wrong, or it is gone."""
        return not self.started or self.gone

    def ending(self) -> Iterator[Operation]:
        """Everything goes, one after the other; the firmware answers."""
        state = self.made
        return iter([]) if state is None or not self.started else iter(_ending(state, self.gone))


def _ending(state: UatState, gone: bool) -> list[Operation]:
    if gone:
        return []
    ending: list[Operation] = []
    for number, mapping in enumerate(state.mappings):
        if mapping.open:
            ending.append(Operation("drop", {"mapping": number}))
    for vm in state.vms:
        if vm.exists:
            ending += [Operation("unbind", {"vm": vm.number})] * vm.users
            ending.append(Operation("destroy_vm", {"vm": vm.number}))
    return [*ending, Operation("destroy")]
