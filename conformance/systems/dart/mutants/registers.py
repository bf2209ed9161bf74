"""Seeded bugs of registers: what is written, what is waited for, which streams it is about."""

from conformance.mutants.mutant import Mutant

_COMMAND = """
self.write(self.part.command, value)
return self.is_idle()
"""
_MODES_AT_RESET = """
for stream in range(self.streams):
    self.set_mode(stream, DISABLED)
    self.set_roots(stream, [])
"""
_RESTORE = """
unit.set_roots(stream, self.roots(unit, group.domain))
unit.set_mode(stream, self.mode(unit, group.domain))
"""

MUTANTS: tuple[Mutant, ...] = (
    # -- commands -----------------------------------------------------------------------------
    Mutant(
        "busy-not-awaited",
        "OR-52",
        "a command is written, and nobody waits for its end",
        ((_COMMAND, "self.write(self.part.command, value)\nreturn True"),),
    ),
    Mutant(
        "busy-awaited-too-short",
        "OR-52",
        "the busy bit of older parts is looked at five times, then the command counts as ended",
        (
            (
                _COMMAND,
                """
                self.write(self.part.command, value)
                if self.part.newer:
                    return self.is_idle()
                self.bus.wait_for(self.base + self.part.command, self.part.busy, False, 5)
                return True
                """,
            ),
        ),
    ),
    Mutant(
        "command-over-stuck-one",
        "OR-54",
        "a command is written although the one before never ended",
        (
            (
                """
                # 1. A command that timed out may run still; two at a time are not known to work.
                if not self.is_idle():
                    return -errno.ETIMEDOUT
                """,
                """
                # 1. A command that timed out may run still; two at a time are not known to work.
                """,
            ),
        ),
    ),
    Mutant(
        "time-out-is-success",
        "ER-2",
        "an attach whose invalidation did not end says so, and lets the streams go on",
        (
            (
                """
                self.switch_back(streams, former)
                return result
                """,
                """
                leave(streams, former)
                return result
                """,
            ),
        ),
    ),
    # -- reset --------------------------------------------------------------------------------
    Mutant(
        "lock-not-looked-at",
        "OR-53",
        "a stream of a unit that is locked is blocked all the same",
        (
            (
                """
                if self.read(self.part.lock) & self.part.lock_bit:
                    return -errno.EINVAL
                """,
                """
                if self.read(self.part.lock) & self.part.lock_bit:
                    self.set_mode(0, DISABLED)
                    return -errno.EINVAL
                """,
            ),
        ),
    ),
    Mutant(
        "remap-restored",
        "OR-51",
        "reset writes the remap of streams, which is the boot loader's",
        (
            (
                """
                if self.part.newer:
                    self.write(0x104, 0)
                """,
                """
                if self.part.newer:
                    self.write(0x104, 0)
                else:
                    self.write(0x80, 0x03020100)
                """,
            ),
        ),
    ),
    Mutant(
        "streams-not-let-in",
        "TR-50",
        "reset lets no stream in",
        (
            (
                """
                for word in range(min(self.part.enable_words, (self.streams + 31) // 32)):
                    self.write(self.part.enable + 4 * word, ALL_ONES)
                """,
                """
                for word in range(min(self.part.enable_words, (self.streams + 31) // 32)):
                    self.read(self.part.enable + 4 * word)
                """,
            ),
        ),
    ),
    Mutant(
        "upper-streams-not-let-in",
        "TR-50",
        "reset lets the first 32 streams in, whatever the unit has",
        (
            (
                "for word in range(min(self.part.enable_words, (self.streams + 31) // 32)):",
                "for word in range(1):",
            ),
        ),
    ),
    Mutant(
        "errors-stay-masked",
        "ER-50",
        "a newer unit is never told to raise its interrupt",
        (("self.write(0x104, 0)", "self.read(0x104)"),),
    ),
    Mutant(
        "unit-goes-with-streams-on",
        "TR-50",
        "reset at the end of the machine leaves streams as they are",
        (
            (
                """
                for unit in self.units:
                    if unit.probed and unit.powered:
                        unit.reset()
                return 0
                """,
                """
                return 0
                """,
            ),
        ),
    ),
    Mutant(
        "streams-on-at-reset",
        "TR-50",
        "reset clears roots and leaves modes",
        (
            (
                _MODES_AT_RESET,
                """
                for stream in range(self.streams):
                    self.set_roots(stream, [])
                """,
            ),
        ),
    ),
    Mutant(
        "roots-left-at-reset",
        "TR-50",
        "reset clears modes and leaves roots",
        (
            (
                _MODES_AT_RESET,
                """
                for stream in range(self.streams):
                    self.set_mode(stream, DISABLED)
                """,
            ),
        ),
    ),
    Mutant(
        "reset-not-flushed",
        "IS-50",
        "reset blocks all streams and leaves cached what they had",
        (("return self.invalidate_all()", "return 0"),),
    ),
    Mutant(
        "one-page-size-for-all",
        "ER-1",
        "the page size is not read, and units that have to be bypassed translate",
        (
            (
                "self.forced = self.page_bits > cpu_page_bits",
                "self.forced = False",
            ),
        ),
    ),
    # -- streams ------------------------------------------------------------------------------
    Mutant(
        "left-over-roots",
        "TR-50",
        "root registers that a domain has no use for keep what they had",
        (
            (
                """
                else:
                    self.write(self.part.ttbr(stream, index), 0)
                """,
                """
                elif not roots:
                    self.write(self.part.ttbr(stream, index), 0)
                elif self.read(self.part.ttbr(stream, index)) == 0:
                    self.write(self.part.ttbr(stream, index), self.part.ttbr_word(int(roots[0])))
                """,
            ),
        ),
    ),
    Mutant(
        "first-root-alone",
        "OR-50",
        "only the first root register is written",
        (
            (
                "if index < len(roots):",
                "if index < min(len(roots), 1):",
            ),
        ),
    ),
    Mutant(
        "roots-for-all-registers",
        "TR-50",
        "with several root registers all lead to the first root",
        (
            (
                "self.write(self.part.ttbr(stream, index), self.part.ttbr_word(int(roots[index])))",
                "self.write(self.part.ttbr(stream, index), self.part.ttbr_word(int(roots[0])))",
            ),
        ),
    ),
    Mutant(
        "ttbr-in-pages",
        "OR-1",
        "the address in a root register is cut to 32 bits",
        (
            (
                "self.write(self.part.ttbr(stream, index), self.part.ttbr_word(int(roots[index])))",
                "root = int(roots[index]) & ALL_ONES\n"
                "self.write(self.part.ttbr(stream, index), self.part.ttbr_word(root))",
            ),
        ),
        known="KB-44",
    ),
    Mutant(
        "translate-and-bypass",
        "TR-50",
        "bypass is set beside translate, which no unit knows",
        (
            (
                "self.write(self.part.tcr(stream), value)",
                "both = 0x81 if mode == BYPASS else 0\n"
                "self.write(self.part.tcr(stream), value | both)",
            ),
        ),
    ),
    Mutant(
        "fourth-level-not-said",
        "TR-50",
        "a unit whose tables have a level more is not told so",
        (
            (
                """
                if mode == TRANSLATE and self.levels > 3:
                    value |= FOUR_LEVELS
                """,
                "",
            ),
        ),
        known="KB-73",
    ),
    # -- power --------------------------------------------------------------------------------
    Mutant(
        "resume-mode-before-roots",
        "OR-50",
        "after sleep streams are enabled before they have roots",
        (
            (
                _RESTORE,
                """
                unit.set_mode(stream, self.mode(unit, group.domain))
                unit.set_roots(stream, self.roots(unit, group.domain))
                """,
            ),
        ),
    ),
    Mutant(
        "resume-forgets-modes",
        "TR-50",
        "after sleep streams get their roots, and stay blocked",
        ((_RESTORE, "unit.set_roots(stream, self.roots(unit, group.domain))"),),
    ),
    Mutant(
        "resume-forgets-streams",
        "TR-50",
        "after sleep streams are not pointed at their domains again",
        (
            (
                """
                unit.powered = True
                self.restore(unit)
                """,
                """
                unit.powered = True
                """,
            ),
        ),
    ),
    Mutant(
        "resume-without-reset",
        "TR-50",
        "after sleep units are not reset, so that streams are shut out",
        (
            (
                """
                result = unit.reset()
                if result != 0:
                    self.memory.trace.emit(MESSAGE, unit.number, MESSAGE_POWER_OFF)
                """,
                """
                result = -errno.EINVAL if self.bus.units[unit.number].locked else 0
                if result != 0:
                    self.memory.trace.emit(MESSAGE, unit.number, MESSAGE_POWER_OFF)
                """,
            ),
        ),
    ),
    Mutant(
        "locked-unit-stays-on",
        "ER-1",
        "a unit that was locked while asleep counts as awake",
        (
            (
                """
                found = result
                continue
                """,
                """
                continue
                """,
            ),
        ),
    ),
    # -- errors -------------------------------------------------------------------------------
    Mutant(
        "one-code-bit-told",
        "ER-50",
        "of several code bits of an error only the highest is told",
        (
            (
                "stream, code = unit.part.error_stream(error), unit.part.error_code(error)",
                "stream, code = unit.part.error_stream(error), unit.part.error_code(error)\n"
                "code = 1 << code.bit_length() - 1",
            ),
        ),
    ),
    Mutant(
        "error-address-halves-swapped",
        "ER-50",
        "the halves of the address of an error are taken for each other",
        (
            (
                "address = unit.read(unit.part.error_hi) << 32 | unit.read(unit.part.error_lo)",
                "address = (unit.read(unit.part.error_lo) & 0x7FFF_FFFF) << 32"
                " | unit.read(unit.part.error_hi)",
            ),
        ),
    ),
    Mutant(
        "error-of-another-stream",
        "ER-50",
        "the stream of an error is read from the field of the other part",
        (
            (
                "stream, code = unit.part.error_stream(error), unit.part.error_code(error)",
                "stream, code = error >> 24 & 0xF, unit.part.error_code(error)",
            ),
        ),
    ),
    Mutant(
        "error-not-cleared",
        "ER-51",
        "an error that was told is not cleared",
        (
            (
                """
                # 3. Ready for the next one.
                unit.clear_error(error)
                return True
                """,
                """
                # 3. Ready for the next one.
                return False
                """,
            ),
        ),
        known="KB-10",
    ),
    Mutant(
        "error-cleared-by-halves",
        "ER-51",
        "only the code bits of an error are cleared, and not the flag",
        (
            (
                "self.write(self.part.error, error)",
                "self.write(self.part.error, error & 0x7FFF_FFFF)",
            ),
        ),
    ),
)
