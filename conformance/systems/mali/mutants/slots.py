"""Seeded bugs of address spaces: who gets one, what it walks, what becomes of faults."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- who has which ------------------------------------------------------------------------
    Mutant(
        "firmware-slot-given",
        "IS-13",
        "the AS of the GPU's own processor is given to VMs, too",
        (
            (
                "for slot in range(MCU_SLOT + 1, len(self.vms)):",
                "for slot in range(MCU_SLOT, len(self.vms)):",
            ),
        ),
    ),
    Mutant(
        "first-slot-evicted",
        "IS-13",
        "the VM that loses its AS is that of the first AS, whether it has jobs or not",
        (
            (
                "victim = self.idle[0]",
                "victim = self.vms[MCU_SLOT + 1]",
            ),
        ),
    ),
    # -- what it walks ------------------------------------------------------------------------
    Mutant(
        "slot-hint-trusted",
        "IS-10",
        "a VM that gets the AS that it had before does not enable it, whoever used it since",
        (
            (
                """
                self.take(vm, slot)
                """,
                """
                self.take(vm, slot)
                if getattr(vm, "hint", NO_SLOT) == slot:
                    return 0
                """,
            ),
            (
                """
                vm.active = 0
                vm.slot = NO_SLOT
                """,
                """
                vm.active = 0
                vm.hint = vm.slot
                vm.slot = NO_SLOT
                """,
            ),
        ),
        known="KB-50",
    ),
    Mutant(
        "slot-kept-after-timeout",
        "IS-10",
        "a VM whose AS could not be enabled keeps it, and the next job finds it ready",
        (
            (
                """
                self.release(vm)
                return result
                """,
                """
                return result
                """,
            ),
        ),
    ),
    Mutant(
        "not-enabled-after-fault",
        "IS-10",
        "a VM that kept its AS is taken for enabled, although a fault has disabled it",
        (
            (
                "if vm.slot != NO_SLOT and not self.faulty & BIT[vm.slot]:",
                "if vm.slot != NO_SLOT:",
            ),
        ),
    ),
    Mutant(
        "walks-when-unplugged",
        "IS-10",
        "when the device goes, AS are taken from VMs and not disabled",
        (
            (
                """
                self.slots.disarm()
                self.release_slots(True)
                # What is stuck is stopped by a reset, for there is no later.
                """,
                """
                self.slots.disarm()
                self.release_slots(False)
                # What is stuck is stopped by a reset, for there is no later.
                """,
            ),
        ),
    ),
    Mutant(
        "enabled-without-flush",
        "IS-11",
        "an AS that was disabled, by a fault maybe, is enabled without a flush",
        (
            (
                "result = self.hardware.enable(vm.slot, vm.tables.roots[0])",
                """
                if self.walked[vm.slot] is None:
                    unit = self.hardware
                    result = unit.wait(vm.slot) or unit.set(
                        vm.slot, vm.tables.roots[0], unit.memattr, unit.transcfg
                    )
                else:
                    result = self.hardware.enable(vm.slot, vm.tables.roots[0])
                """,
            ),
        ),
    ),
    # -- faults -------------------------------------------------------------------------------
    Mutant(
        "fault-mask-not-armed-again",
        "ER-11",
        "the interrupt of an AS that is enabled again is let through, and then taken for masked",
        (
            (
                """
                self.faulty &= ~BIT[slot]
                self.mask = FAULTS & ~self.faulty
                bus.write(INT_MASK, self.mask)
                """,
                """
                self.faulty &= ~BIT[slot]
                bus.write(INT_MASK, FAULTS & ~self.faulty)
                """,
            ),
        ),
        known="KB-10",
    ),
    Mutant(
        "fault-let-through-again",
        "ER-13",
        "the interrupt of an AS that has faulted is not masked",
        (
            (
                """
                self.faulty |= BIT[slot]
                self.mask = FAULTS & ~self.faulty
                """,
                """
                self.faulty |= BIT[slot]
                self.mask = FAULTS
                """,
            ),
        ),
    ),
    Mutant(
        "fault-masks-firmware",
        "ER-13",
        "the fault of an AS masks that of the GPU's own processor, too",
        (
            (
                """
                self.faulty |= BIT[slot]
                self.mask = FAULTS & ~self.faulty
                """,
                """
                self.faulty |= BIT[slot]
                self.mask = FAULTS & ~self.faulty & ~BIT[MCU_SLOT]
                """,
            ),
        ),
    ),
    Mutant(
        "fault-not-disabled",
        "ER-11",
        "a fault is acknowledged, and its AS goes on walking",
        (
            (
                """
                bus.write(INT_MASK, self.mask)
                self.disable(slot)
                """,
                """
                bus.write(INT_MASK, self.mask)
                """,
            ),
        ),
    ),
)
