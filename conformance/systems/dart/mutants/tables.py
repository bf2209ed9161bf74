"""Seeded bugs of page tables and flushes."""

from conformance.mutants.mutant import Mutant

_LEAF = "self.memory.store(table, index, self.format.leaf(self.last_level, there, prot))"
_PUBLISH = """
self.barrier(BARRIER_ORDER)
self.memory.store(table, index, self.format.table(level, child))
"""

_FLUSHED_MAP = """
self.flush(domain)
return result
"""
_FLUSHED_UNMAP = """
if done and not queued:
    self.flush(domain)
return done
"""

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "no-cache-is-set",
        "TR-2",
        "bit 1, which switches a window off in the first format, is set in the second, too, where "
        "it is the no-cache bit",
        (
            (
                _LEAF,
                _LEAF.replace("there, prot)", "there, prot) | 2"),
            ),
        ),
        known="KB-05",
    ),
    Mutant(
        "read-only-is-writable",
        "TR-2",
        "a leaf that may only be read can be written, too",
        ((_LEAF, _LEAF.replace("there, prot", "there, prot | WRITE | READ")),),
    ),
    Mutant(
        "window-closed",
        "TR-2",
        "the window of a leaf ends at its first part, and counts",
        (
            (
                _LEAF,
                "word = self.format.leaf(self.last_level, there, prot) & ~(0xFFF << 40)\n"
                "older = self.output_limit < 1 << 40\n"
                "self.memory.store(table, index, word & ~2 if older else word)",
            ),
        ),
    ),
    Mutant(
        "input-beyond-aliases",
        "NB-1",
        "addresses beyond the input size are mapped and unmapped where their low bits lead",
        (
            (
                """
                if not fits(iova, size, table.geometry.limit):
                    return -errno.ERANGE
                """,
                "",
            ),
        ),
        known="KB-18",
    ),
    Mutant(
        "translate-beyond-aliases",
        "TR-51",
        "addresses beyond the input size are translated as their low bits would be",
        (
            (
                """
                if not fits(iova, 1, self.geometry.limit):
                    return 0
                """,
                "",
            ),
        ),
        known="KB-18",
    ),
    Mutant(
        "translate-drops-the-offset",
        "TR-51",
        "the offset inside a page is dropped",
        (
            (
                "return self.format.output(self.last_level, entry) + (iova & (self.page - 1))",
                "return self.format.output(self.last_level, entry)",
            ),
        ),
        known="KB-41",
    ),
    Mutant(
        "run-beyond-the-table",
        "PG-2",
        "a run of pages goes on behind the end of its table",
        (
            (
                "return min(size // self.page, self.geometry.entries(self.last_level) - first)",
                "return size // self.page + 0 * first",
            ),
        ),
        known="KB-40",
    ),
    Mutant(
        "run-starts-again",
        "ER-1",
        "behind the end of a table a run goes on at the start of the same one",
        (
            (
                "result, more = table.map_run(iova + done, pa + done, size - done, prot)",
                "result, more = table.map_run(iova, pa + done, size - done, prot)",
            ),
        ),
        known="KB-46",
    ),
    Mutant(
        "output-restarts",
        "TR-1",
        "behind the end of a table the output addresses start again",
        (
            (
                "result, more = table.map_run(iova + done, pa + done, size - done, prot)",
                "result, more = table.map_run(iova + done, pa, size - done, prot)",
            ),
        ),
    ),
    Mutant(
        "output-cut-short",
        "TR-1",
        "output addresses are cut to 32 bits",
        (
            (
                "there: i64 = pa + (index - first) * self.page",
                "there: i64 = (pa + (index - first) * self.page) & 0xFFFF_FFFF",
            ),
        ),
        known="KB-44",
    ),
    Mutant(
        "mapped-over",
        "ER-52",
        "a map stores over what is mapped",
        (
            (
                """
                if self.format.kind(self.last_level, self.memory.read(table, index)) != INVALID:
                    return -errno.EEXIST, 0
                """,
                """
                self.memory.read(table, index)
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-skips-a-page",
        "TR-1",
        "the last page of a run stays mapped, and is reported as unmapped",
        (
            (
                """
                self.memory.store(table, index, 0)
                done += 1
                """,
                """
                if done == 0 or done + 1 < count:
                    self.memory.store(table, index, 0)
                done += 1
                """,
            ),
        ),
        known="KB-71",
    ),
    Mutant(
        "unmap-stops-at-a-table",
        "ER-1",
        "an unmap ends with the table that it began in",
        (
            (
                """
                if more == 0:
                    break
                done += more
                """,
                """
                done += more
                break
                """,
            ),
        ),
        known="KB-40",
    ),
    Mutant(
        "new-table-not-zeroed",
        "OR-1",
        "a new table is linked with whatever was in its memory",
        (
            (
                """
                if table != NO_TABLE:
                    self.memory.zero(table)
                return table
                """,
                """
                return table
                """,
            ),
        ),
    ),
    Mutant(
        "table-not-ordered",
        "OR-1",
        "a new table is linked before what is in it can be seen",
        ((_PUBLISH, "self.memory.store(table, index, self.format.table(level, child))"),),
    ),
    Mutant(
        "map-not-visible",
        "OR-4",
        "no barrier comes between the stores of a map and its flush",
        (
            (
                """
                self.barrier(BARRIER_FULL)
                return 0, count * self.page
                """,
                """
                return 0, count * self.page
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-visible-too-late",
        "OR-4",
        "the barrier of an unmap comes after its flush",
        (
            (
                """
                self.barrier(BARRIER_FULL)
                return done * self.page
                """,
                """
                return done * self.page
                """,
            ),
            (
                _FLUSHED_UNMAP,
                """
                if done and not queued:
                    self.flush(domain)
                table.barrier(BARRIER_FULL)
                return done
                """,
            ),
            (
                _FLUSHED_MAP,
                """
                self.flush(domain)
                table.barrier(BARRIER_FULL)
                return result
                """,
            ),
        ),
    ),
    # -- flushes ------------------------------------------------------------------------------
    Mutant(
        "mapped-not-flushed",
        "TL-50",
        "after a map nothing is flushed, as if invalid entries were never cached",
        (
            (
                """
                self.flush(domain)
                return result
                """,
                """
                if result != 0:
                    self.flush(domain)
                return result
                """,
            ),
        ),
        known="KB-52",
    ),
    Mutant(
        "unmapped-not-flushed",
        "TL-1",
        "after an unmap nothing is flushed",
        (
            (
                """
                if done and not queued:
                    self.flush(domain)
                return done
                """,
                """
                return done
                """,
            ),
        ),
        known="KB-30",
    ),
    Mutant(
        "unmap-flushed-before",
        "TL-1",
        "what is unmapped is flushed before its entries are gone",
        (
            (
                """
                done = table.unmap_all(iova, size)
                if done and not queued:
                    self.flush(domain)
                return done
                """,
                """
                if not queued:
                    self.flush(domain)
                return table.unmap_all(iova, size)
                """,
            ),
        ),
        known="KB-30",
    ),
    Mutant(
        "queue-not-flushed",
        "TL-1",
        "the flush of what was queued does nothing",
        (
            (
                """
                self.flush(domain)
                return 0
                """,
                """
                return 0
                """,
            ),
        ),
        known="KB-30",
    ),
    Mutant(
        "failed-map-not-flushed",
        "TL-1",
        "what a failed map has mapped and taken back is not flushed",
        (
            (
                """
                self.flush(domain)
                return result
                """,
                """
                if result == 0:
                    self.flush(domain)
                return result
                """,
            ),
        ),
    ),
    Mutant(
        "failed-map-not-taken-back",
        "ER-2",
        "what was mapped before an error stays mapped",
        (
            (
                """
                if result != 0:
                    table.unmap_all(iova, done)
                """,
                "",
            ),
        ),
        known="KB-08",
    ),
    Mutant(
        "map-flushes-one-unit",
        "TL-50",
        "after a map only the first unit of the domain is flushed",
        (
            (
                _FLUSHED_MAP,
                """
                for unit, streams in domain.streams.items():
                    if streams:
                        self.units[unit].invalidate(streams)
                        break
                return result
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-flushes-one-unit",
        "TL-1",
        "after an unmap only the first unit of the domain is flushed",
        (
            (
                _FLUSHED_UNMAP,
                """
                if done and not queued:
                    for unit, streams in domain.streams.items():
                        if streams:
                            self.units[unit].invalidate(streams)
                            break
                return done
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-flushes-up-to-a-time-out",
        "TL-1",
        "when a unit does not answer the units after it are not flushed",
        (
            (
                _FLUSHED_UNMAP,
                """
                if done and not queued:
                    for unit, streams in domain.streams.items():
                        if streams and self.units[unit].invalidate(streams) != 0:
                            break
                return done
                """,
            ),
        ),
    ),
    Mutant(
        "map-flushes-up-to-a-time-out",
        "TL-50",
        "when a unit does not answer, after a map the units after it are not flushed",
        (
            (
                _FLUSHED_MAP,
                """
                for unit, streams in domain.streams.items():
                    if streams and self.units[unit].invalidate(streams) != 0:
                        break
                return result
                """,
            ),
        ),
    ),
    Mutant(
        "map-flushes-lower-streams",
        "TL-50",
        "after a map streams from 32 on are never selected",
        (
            (
                _FLUSHED_MAP,
                """
                for unit, streams in domain.streams.items():
                    if streams:
                        self.units[unit].invalidate(streams & 0xFFFF_FFFF)
                return result
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-flushes-one-stream",
        "TL-1",
        "after an unmap only the first stream of each unit is flushed",
        (
            (
                _FLUSHED_UNMAP,
                """
                if done and not queued:
                    for unit, streams in domain.streams.items():
                        if streams:
                            self.units[unit].invalidate(streams & -streams)
                return done
                """,
            ),
        ),
    ),
    Mutant(
        "never-gives-up",
        "PG-1",
        "a command is waited for without end",
        (
            (
                "return self.bus.wait_for(command, self.part.busy, False, POLLS)",
                "return self.bus.wait_for(command, self.part.busy, False, 1 << 40)",
            ),
        ),
    ),
)
