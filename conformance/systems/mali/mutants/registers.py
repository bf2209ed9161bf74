"""Seeded bugs of registers and commands: what is written, what is waited for, which region."""

from conformance.mutants.mutant import Mutant

_DISABLE = """
    result = self.flush_all(slot)
    if result != 0:
        return result
    return self.set(slot, 0, 0, MODE_UNMAPPED)
    """
_UPDATE = """
    self.bus.write_wide(register_of(slot, TRANSCFG), transcfg)
    return self.carry_out(slot, UPDATE)
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- waiting ------------------------------------------------------------------------------
    Mutant(
        "update-not-awaited",
        "OR-10",
        "an UPDATE is written, and nobody waits for its end",
        (
            (
                _UPDATE,
                """
                self.bus.write_wide(register_of(slot, TRANSCFG), transcfg)
                self.bus.write(register_of(slot, COMMAND), UPDATE)
                return 0
                """,
            ),
        ),
        known="KB-04",
    ),
    Mutant(
        "disable-not-awaited",
        "OR-10",
        "nobody waits for the end of the UPDATE that disables an AS, and its tables are freed",
        (
            (
                _DISABLE,
                """
                result = self.flush_all(slot)
                if result != 0:
                    return result
                self.bus.write_wide(register_of(slot, TRANSTAB), 0)
                self.bus.write_wide(register_of(slot, MEMATTR), 0)
                self.bus.write_wide(register_of(slot, TRANSCFG), MODE_UNMAPPED)
                self.bus.write(register_of(slot, COMMAND), UPDATE)
                return 0
                """,
            ),
        ),
        known="KB-04",
    ),
    Mutant(
        "command-over-update",
        "OR-11",
        "after an UPDATE another command is written at once, while it may be running",
        (
            (
                _UPDATE,
                """
                self.bus.write_wide(register_of(slot, TRANSCFG), transcfg)
                self.bus.write(register_of(slot, COMMAND), UPDATE)
                return self.carry_out(slot, 0)
                """,
            ),
        ),
    ),
    Mutant(
        "stuck-device-not-reset",
        "PG-11",
        "after a command that does not end, no reset is asked for",
        (
            (
                """
                self.ask_for_reset()
                return -errno.ETIMEDOUT
                """,
                """
                return -errno.ETIMEDOUT
                """,
            ),
        ),
    ),
    # -- registers ----------------------------------------------------------------------------
    Mutant(
        "fault-status-written",
        "OR-11",
        "the fault's status is cleared by a write of its register, which can only be read",
        (
            (
                "bus.read(register_of(slot, FAULTADDRESS + 4))",
                """
                bus.read(register_of(slot, FAULTADDRESS + 4))
                bus.write(register_of(slot, FAULTSTATUS), 0)
                """,
            ),
        ),
    ),
    Mutant(
        "masked-without-power",
        "OR-11",
        "interrupts are masked when the device has no power any more",
        (
            (
                """
                self.slots.disarm()
                self.hardware.power_off()
                """,
                """
                self.hardware.power_off()
                self.slots.disarm()
                """,
            ),
        ),
    ),
    Mutant(
        "address-size-one-less",
        "TR-10",
        "an AS walks with one bit of addresses less than the tables have",
        (
            (
                "config = PTW_WRITE_BACK | PTW_READ_ALLOCATE | (INA_BASE - va_bits) << 6 | MODE_4K",
                "config = PTW_WRITE_BACK | PTW_READ_ALLOCATE | (56 - va_bits) << 6 | MODE_4K",
            ),
        ),
    ),
    Mutant(
        "walks-not-shareable",
        "TR-10",
        "walks do not snoop the CPU's caches, although nothing is cleaned",
        (
            (
                "config |= PTW_OUTER_SHAREABLE",
                "config |= 0",
            ),
        ),
    ),
    Mutant(
        "uncached-type-cached",
        "TR-10",
        "the memory type of pages that are not cached is write-back",
        (
            (
                "if outer & 3 and outer & 4 and inner & 4:",
                "if outer & 4 and inner & 4:",
            ),
        ),
    ),
    # -- regions ------------------------------------------------------------------------------
    Mutant(
        "locked-when-disabled",
        "OR-12",
        "an AS is locked again before it is disabled, and nothing releases the lock",
        (
            (
                _DISABLE,
                """
                result = self.flush_all(slot)
                if result == 0:
                    result = self.lock(slot, 0, WHOLE_SPACE)
                if result != 0:
                    return result
                return self.set(slot, 0, 0, MODE_UNMAPPED)
                """,
            ),
        ),
        known="KB-34",
    ),
    Mutant(
        "smallest-region-ignored",
        "OR-12",
        "for a map of a few pages, a region is locked that is smaller than the smallest",
        (
            (
                """
                self.begin_change(va, size)
                result, done = self.tables.map_buffer(va, size, buffer.at, offset, self.prot)
                """,
                """
                if self.is_walked() and size < 1 << LOCK_MINIMUM_BITS:
                    region = va | (size.bit_length() - 1)
                    self.hardware.bus.write_wide(register_of(self.slot, LOCKADDR), region)
                    self.note(self.hardware.carry_out(self.slot, LOCK))
                else:
                    self.begin_change(va, size)
                result, done = self.tables.map_buffer(va, size, buffer.at, offset, self.prot)
                """,
            ),
        ),
        known="KB-38",
    ),
    Mutant(
        "region-of-32-bits",
        "OR-13",
        "the size of what is flushed before an AS is disabled is cut to 32 bits",
        (
            (
                _DISABLE,
                """
                result = self.lock(slot, 0, (WHOLE_SPACE - 1) & 0xFFFF_FFFF)
                if result == 0:
                    result = self.carry_out(slot, FLUSH_MEM)
                if result != 0:
                    return result
                return self.set(slot, 0, 0, MODE_UNMAPPED)
                """,
            ),
        ),
        known="KB-38",
    ),
    Mutant(
        "region-not-widened",
        "TL-1",
        "a few pages on both sides of a power of two are locked as if they lay on one",
        (
            (
                "differ = start ^ (start + size - 1)",
                """
                differ = start ^ (start + size - 1)
                if size < LARGE_PAGE:
                    differ = size - 1
                """,
            ),
        ),
        known="KB-38",
    ),
    Mutant(
        "disabled-without-flush",
        "OR-13",
        "an AS is disabled, and what it has cached is not flushed before",
        (
            (
                _DISABLE,
                """
                result = self.wait(slot)
                if result != 0:
                    return result
                return self.set(slot, 0, 0, MODE_UNMAPPED)
                """,
            ),
        ),
    ),
)
