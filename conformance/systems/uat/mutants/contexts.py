"""Seeded bugs of contexts: who gets one, what root it has, what was cached of the former owner."""

from conformance.mutants.mutant import Mutant

GIVE = 'yield store("give 5", ttb0(context), ttb_of(vm.root(), context))'

MUTANTS: tuple[Mutant, ...] = (
    # -- slots --------------------------------------------------------------------------------
    Mutant(
        "hint-trusted",
        "IS-61",
        "a VM keeps its slot although another has had it since",
        (
            (
                "return slot >= 0 and self.slots[slot].got == time",
                "return slot >= 0 and self.slots[slot].got >= time",
            ),
            (
                "time = self.slots.slots[slot].got",
                "time = vm.time if slot == vm.hint else self.slots.slots[slot].got",
            ),
        ),
        known="KB-50",
    ),
    Mutant(
        "hint-ignored",
        "IS-67",
        "a VM gets the slot that was given back longest ago, even if its own is there",
        (("if self.owns(hint, time) and self.slots[hint].free:", "if hint < -1:"),),
    ),
    Mutant(
        "slot-newest",
        "IS-67",
        "the slot that was given back last is taken",
        (
            (
                "if slot.free and (found < 0 or slot.dropped < self.slots[found].dropped):",
                "if slot.free and (found < 0 or slot.dropped > self.slots[found].dropped):",
            ),
        ),
    ),
    Mutant(
        "slot-no-time",
        "IS-67",
        "it is not noted when a slot was given back",
        (("self.slots[slot].dropped = self.drops", ""),),
    ),
    Mutant(
        "full-is-no-error",
        "ER-1",
        "where all contexts are taken the wrong error is returned",
        (("return -ERESTARTSYS", "return -errno.ENOSPC"),),
    ),
    Mutant(
        "clone-not-counted",
        "RC-4",
        "one more who holds a VM bound is not counted",
        (
            (
                "vm = self.vm(number)\nvm.users += 1\nself.value = vm.slot + FIRST_USER",
                "vm = self.vm(number)\nself.value = vm.slot + FIRST_USER",
            ),
        ),
    ),
    Mutant(
        "unbind-takes-all",
        "RC-4",
        "the first who lets a VM go takes its context from the others",
        (
            (
                "vm.users -= 1\nif vm.users == 0:",
                "vm.users -= 1\nif vm.slot >= 0:",
            ),
        ),
    ),
    Mutant(
        "unbind-keeps-slot",
        "RC-4",
        "the last who lets a VM go leaves it its context",
        (("self.slots.drop(vm.slot)\nvm.slot = -1", ""),),
    ),
    # -- roots --------------------------------------------------------------------------------
    Mutant(
        "bind-no-asid",
        "IS-61",
        "the root has no ASID",
        ((GIVE, 'yield store("give 5", ttb0(context), vm.root() | 1)'),),
    ),
    Mutant(
        "bind-no-wait",
        "IS-66",
        "the root changes although the firmware is in the context",
        (
            (
                "result = yield from self.lock_without(context, None)",
                "result = yield from self.handoff.lock()",
            ),
        ),
    ),
    Mutant(
        "bind-unlocked",
        "IS-63",
        "the root is stored after the lock was given back",
        (
            (
                f'{GIVE}\nyield store("give 6", ttb1(context), 0)\n'
                "yield from self.handoff.unlock()",
                f"yield from self.handoff.unlock()\n{GIVE}\n"
                'yield store("give 6", ttb1(context), 0)',
            ),
        ),
    ),
    Mutant(
        "bind-upper-half",
        "IS-64",
        "a user's context gets the kernel's upper half",
        (
            (
                'yield store("give 6", ttb1(context), 0)',
                'yield store("give 6", ttb1(context), 0x7_0002_0001)',
            ),
        ),
    ),
    Mutant(
        "bind-next-context",
        "IS-65",
        "the roots of the context behind are cleared, too",
        (
            (
                'yield store("give 6", ttb1(context), 0)',
                'yield store("give 6", ttb1(context), 0)\n'
                'yield store("give 6", ttb1(context + 1), 0)',
            ),
        ),
    ),
    Mutant(
        "bind-no-barrier",
        "OR-61",
        "the invalidation begins before the root is visible",
        (('yield from self.barrier("give 7")', ""),),
    ),
    Mutant(
        "bind-no-invalidation",
        "IS-62",
        "what is cached of the former owner is left",
        (
            (
                'yield from self.barrier("give 7")\nyield from self.invalidate_context(context)',
                'yield from self.barrier("give 7")',
            ),
        ),
    ),
    Mutant(
        "bind-not-completed",
        "IS-62",
        "the invalidation is not waited for",
        (
            (
                'yield from self.barrier("give 7")\nyield from self.invalidate_context(context)',
                'yield from self.barrier("give 7")\nself.soc.tlbi(TLBI_ASID, context << 48)',
            ),
        ),
    ),
    Mutant(
        "bind-other-asid",
        "IS-62",
        "the number of the slot is invalidated in place of that of its context",
        (
            (
                'yield from self.barrier("give 7")\nyield from self.invalidate_context(context)',
                'yield from self.barrier("give 7")\n'
                "yield from self.invalidate_context(context - FIRST_USER)",
            ),
        ),
        known="KB-51",
    ),
    Mutant(
        "bind-keeps-lines",
        "TL-60",
        "lines of the former owner stay where a switch flushes nothing",
        (("if not self.trusts_switch:", "if self.contexts < 2:"),),
    ),
    # -- the end of a VM ----------------------------------------------------------------------
    Mutant(
        "destroy-keeps-root",
        "TL-2",
        "the tables of a VM go while a context has its root",
        (('yield store("destroy vm 2", ttb0(context), 0)', ""),),
    ),
    Mutant(
        "destroy-no-invalidation",
        "TL-2",
        "the tables of a VM go while entries that lead to them are cached",
        (
            (
                'yield from self.barrier("destroy vm 4")\n'
                "yield from self.invalidate_context(context)",
                'yield from self.barrier("destroy vm 4")',
            ),
        ),
    ),
    Mutant(
        "destroy-no-barrier",
        "OR-61",
        "the invalidation begins before the root is gone",
        (('yield from self.barrier("destroy vm 4")', ""),),
    ),
    Mutant(
        "destroy-no-wait",
        "IS-66",
        "a VM goes although the firmware is in its context",
        (
            (
                "result = yield from self.lock_without(context, vm)",
                "result = yield from self.handoff.lock()",
            ),
        ),
    ),
    Mutant(
        "destroy-successor",
        "IS-65",
        "the root of whoever has the context now is cleared",
        (
            (
                "mine = root == ttb_of(vm.root(), context)\nif mine:\n"
                '    yield store("destroy vm 2", ttb0(context), 0)',
                'mine = root != 0\nif mine:\n    yield store("destroy vm 2", ttb0(context), 0)',
            ),
        ),
    ),
    Mutant(
        "destroy-keeps-tables",
        "RC-1",
        "the tables of a VM are left",
        (("self.free_vm(vm)\nself.vms[number] = None", "self.vms[number] = None"),),
    ),
    Mutant(
        "destroy-frees-twice",
        "RC-2",
        "the root of a VM is freed twice",
        (
            (
                "self.free_vm(vm)\nself.vms[number] = None",
                "root_table = vm.root()\nself.free_vm(vm)\nself.memory.free(root_table)\n"
                "self.vms[number] = None",
            ),
        ),
    ),
    Mutant(
        "destroy-stores-late",
        "RC-3",
        "the root of a VM is cleared after it was freed",
        (
            (
                "self.free_vm(vm)\nself.vms[number] = None",
                "root_table = vm.root()\nself.free_vm(vm)\nself.memory.store(root_table, 0, 0)\n"
                "self.vms[number] = None",
            ),
        ),
    ),
    # -- start and end ------------------------------------------------------------------------
    Mutant(
        "start-other-entry",
        "IS-64",
        "the kernel's part is linked at another place",
        (
            (
                "self.memory.store(upper, KERNEL_INDEX, kernel.table.format.table(1, "
                "kernel.root()))",
                "self.memory.store(upper, KERNEL_INDEX + 1, kernel.table.format.table(1, "
                "kernel.root()))",
            ),
        ),
    ),
    Mutant(
        "end-keeps-kernel",
        "TL-2",
        "the kernel's tables go while the root of the upper half leads to them",
        (("self.memory.store(upper, KERNEL_INDEX, 0)", ""),),
    ),
    Mutant(
        "end-no-invalidation",
        "TL-2",
        "the kernel's tables go while entries that lead to them are cached",
        (("self.soc.tlbi(TLBI_ALL, 0)", ""),),
    ),
    Mutant(
        "end-keeps-tables",
        "RC-1",
        "the empty table of the lower half is left",
        (
            (
                "# 4. So the tables can go.\nfor vm in [*self.vms, self.kernel, self.lowest]:",
                "# 4. So the tables can go.\nfor vm in [*self.vms, self.kernel]:",
            ),
        ),
    ),
)
