"""The stateful machine of system ``pagetable``: it draws operations, and judges nothing.

A step draws a few numbers, looks at what is mapped, and does one operation, or
the few that a caller would do together (a scatter list; the flush that has to
come before an address is used again; a look at the result). A step in which
nothing changed (a refused call, a misuse) goes on until something does: drawing
costs more than doing, so that no draw should come to nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis.stateful import initialize, rule

from conformance.machine import Machine
from conformance.systems.pagetable.operations import SPECS
from reference.formats import format_by_name
from reference.systems.pagetable.promise import Duties, PageTablePromise, Table
from strategies import pagetable as draw
from strategies.addresses import beyond, edges

MOST_PAGES = SPECS["unmap"].arg("pgcount").high
"""A call cannot be asked for more; what a wrong map has mapped may be."""

KEPT = 8
"""How many unmapped ranges are remembered, to be mapped again."""


class PageTableMachine(Machine):
    """Generates operations for one session. A generated subclass gives ``create``.

    ``runs``: what is mapped, as (first, last, page size); ``gone``: the last ranges that were
    unmapped. Of the table: its page ``sizes``, the ``edges`` of its addresses, and how many
    ``entries`` a table page has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[tuple[int, int, int]] = []
        self.gone: list[tuple[int, int]] = []
        self.sizes: list[int] = [0x1000]
        self.edges: tuple[int, ...] = (0,)
        self.entries = 512

    @property
    def table(self) -> Table | None:
        """The table; None where there is none, or the example has ended."""
        promise: PageTablePromise = self.session.promise
        return None if self.session.ended else promise.table

    def bytes_of(self, name: str, **args: int | str) -> int:
        """Do one operation; the value that it gave back, 0 if it did not finish."""
        outcome = self.do(name, **args)
        return outcome.result.value if outcome is not None and outcome.result.finished else 0

    # -- drawing ------------------------------------------------------------------------------

    def create_with(self, config: dict[str, int | str]) -> None:
        """Make the table, if need be after a failure, and the list of addresses that matter."""
        fail_at = int(config.pop("fail_at"))
        self.do("create", **config, fail_at=fail_at)
        if self.table is None:
            self.do("create", **config)
        bitmap = int(config["pgsizes"])
        self.sizes = [1 << bit for bit in range(63) if bitmap >> bit & 1]
        fmt = format_by_name(str(config["format"]))
        self.entries = fmt.granule // fmt.word_bytes
        # Where entries of each level meet, whether or not they can be mapped as blocks.
        spans = sorted(fmt.span(level) for level in range(fmt.levels))
        ias = int(config["ias"])
        self.edges = edges(ias, tuple(span for span in spans if span <= 1 << ias))

    def _spot(self, spot: int, pgsize: int) -> int:
        # 37 is coprime to the length for most lengths: neighbours in the draw are far apart.
        return self.edges[spot * 37 % len(self.edges)] & ~(pgsize - 1)

    def _memory(self, table: Table, where: str, iova: int, size: int, pgsize: int) -> int:
        limit = table.pa_limit
        if where == "high":
            return max((limit - size) & ~(pgsize - 1), 0)
        if where == "beside" and iova + size <= limit:
            return iova
        if where == "far":
            return (limit >> 1) & ~(pgsize - 1) if limit >> 1 >= size else 0
        if where == "askew" and (limit >> 2) + pgsize + size <= limit:
            return (limit >> 2) + pgsize
        return 0

    def _settle(self, first: int, last: int) -> None:
        """Do the caller's part before addresses are used again: flush, and release."""
        table = self.table
        if table is None or not table.duties.is_waiting(first, last):
            return
        if table.duties.strict:
            self.do("sync")
        if table.duties.queued:
            self.do("flush")
        if table.duties.flushed:
            self.do("release")

    def _map(self, iova: int, pa: int, pgsize: int, count: int, chosen: draw.Attribute) -> int:
        mapped = self.bytes_of(
            "map",
            iova=iova,
            pa=pa,
            pgsize=pgsize,
            pgcount=count,
            prot=chosen.prot,
            fail_at=chosen.fail_at,
        )
        if mapped > 0:
            self.runs.append((iova, iova + mapped - 1, pgsize))
        return mapped

    @contextmanager
    def _step(self, spot: int) -> Iterator[None]:
        """What a step does; if nothing changed by it, one small change at the end."""
        self.changed = False
        yield
        if self.changed or self.session.ended:
            return
        if self.table is not None and self.table.duties.any():
            self._do_a_duty(self.table.duties, spot)
        elif self.runs:
            first, last, pgsize = self.runs[spot % len(self.runs)]
            self._unmap(first, pgsize, (last + 1 - first) // pgsize, "strict", 0)
        if not self.changed:
            self._map_somewhere(spot, draw.RUNS[0], draw.PLAIN)

    @rule(spot=draw.spots, shape=draw.shapes.numbers)
    def map(self, spot: int, shape: int) -> None:
        """Map a run at an interesting address, mostly where nothing is mapped."""
        run, chosen = draw.shapes.pair(shape)
        with self._step(spot):
            self._map_somewhere(spot, run, chosen)
            if chosen.look:
                self._look(spot, spot & 0x1F)

    @rule(spot=draw.spots, shape=draw.shapes.numbers)
    def map_more(self, spot: int, shape: int) -> None:
        """The same: a rule that stands twice is drawn twice as often."""
        self.map(spot, shape)

    def _map_somewhere(self, spot: int, run: draw.Run, chosen: draw.Attribute) -> None:
        table = self.table
        if table is None:
            return
        translations = table.translations
        pgsize = self.sizes[min(run.size, len(self.sizes) - 1)]
        for attempt in range(4):
            fills = run.count == draw.TABLE_ENTRIES
            iova = self._spot(spot + attempt, pgsize * (self.entries if fills else 1))
            count = max(1, min(run.count, (table.limit - iova) // pgsize))
            last = iova + count * pgsize - 1
            if chosen.insist or not translations.any_in(iova, last):
                break
            if not translations.any_in(iova, iova + pgsize - 1):
                # The first page is free: take as many as are.
                count = 1
                last = iova + pgsize - 1
                break
        self._settle(iova, last)
        pa = self._memory(table, chosen.memory, iova, count * pgsize, pgsize)
        room = (table.pa_limit - pa) // pgsize
        self._map(iova, pa, pgsize, max(1, min(count, room)), chosen)

    @rule(pick=draw.picks, shape=draw.shapes.numbers)
    def map_again(self, pick: int, shape: int) -> None:
        """Map where something was unmapped: with a larger page size, over the tables left there."""
        run, chosen = draw.shapes.pair(shape)
        with self._step(pick):
            if self.gone:
                self._map_where_gone(pick, run, chosen)

    def _map_where_gone(self, pick: int, run: draw.Run, chosen: draw.Attribute) -> None:
        table = self.table
        if table is None:
            return
        first, last = self.gone[pick % len(self.gone)]
        for pgsize in (self.sizes[min(run.size, len(self.sizes) - 1)], self.sizes[0]):
            iova = first & ~(pgsize - 1)
            count = max(1, min(run.count, (last + 1 - iova) // pgsize))
            size = count * pgsize
            if not table.translations.any_in(iova, iova + size - 1):
                self._settle(iova, iova + size - 1)
                pa = self._memory(table, chosen.memory, iova, size, pgsize)
                room = (table.pa_limit - pa) // pgsize
                self._map(iova, pa, pgsize, max(1, min(count, room)), chosen)
                return
        self.gone.remove((first, last))

    @rule(spot=draw.spots, shape=draw.scatters.numbers)
    def map_scattered(self, spot: int, shape: int) -> None:
        """Map a scatter list: consecutive addresses, memory here and there."""
        pieces, chosen = draw.scatters.pair(shape)
        with self._step(spot):
            self._map_pieces(spot, pieces, chosen)

    def _map_pieces(self, spot: int, pieces: tuple[int, ...], chosen: draw.Attribute) -> None:
        table = self.table
        if table is None:
            return
        page = self.sizes[0]
        iova = self._spot(spot, page)
        base = self._memory(table, "far", iova, 16 * page, page)
        for piece in pieces:
            table = self.table
            if table is None or iova + page > table.limit:
                return
            if table.translations.any_in(iova, iova + page - 1):
                return
            self._settle(iova, iova + page - 1)
            if not self._map(iova, base + piece * page, page, 1, chosen):
                return
            iova += page

    @rule(pick=draw.picks, how=draw.unmaps.numbers)
    def unmap(self, pick: int, how: int) -> None:
        """Unmap a part of something that is mapped."""
        part, gather = draw.unmaps.pair(how)
        with self._step(pick):
            if self.runs:
                self._unmap_part(pick, part, gather)
            if pick % 5 == 0:
                self._look(pick, pick)

    @rule(pick=draw.picks, how=draw.unmaps.numbers)
    def unmap_more(self, pick: int, how: int) -> None:
        """The same: a rule that stands twice is drawn twice as often."""
        self.unmap(pick, how)

    def _unmap_part(self, pick: int, part: str, gather: str) -> None:
        number = pick % len(self.runs)
        first, last, pgsize = self.runs[number]
        if part == "whole" and (pick & 1 or (last + 1 - first) // pgsize >= self.entries):
            part = "larger"
        iova, size, count = self._part(first, last, pgsize, part)
        # Only an unmap of part of a block allocates.
        fail_at = pick % 3 if size < pgsize and pick & 12 else 0
        self._unmap(iova, size, count, gather, fail_at)

    def _unmap(self, iova: int, pgsize: int, count: int, gather: str, fail_at: int) -> None:
        count = min(count, MOST_PAGES)
        done = self.bytes_of(
            "unmap", iova=iova, pgsize=pgsize, pgcount=count, gather=gather, fail_at=fail_at
        )
        if done > 0:
            self._unmapped(iova, iova + done - 1)

    def _part(self, first: int, last: int, pgsize: int, part: str) -> tuple[int, int, int]:
        """(iova, page size, count) of a part of the run first..last of ``pgsize`` pages."""
        count = (last + 1 - first) // pgsize
        if count == 1 and pgsize > self.sizes[0] and part in ("first", "middle", "last"):
            page = self.sizes[0]
            start = {"first": first, "middle": first + pgsize // 2, "last": last + 1 - page}[part]
            return start, page, 1
        if part == "first":
            return first, pgsize, (count + 1) // 2
        if part == "last":
            return first + (count // 2) * pgsize, pgsize, count - count // 2
        if part == "middle":
            return first + (count // 2) * pgsize, pgsize, 1
        if part == "inside" and pgsize > self.sizes[0]:
            return first + pgsize // 2 + self.sizes[0], self.sizes[0], 2
        if part == "larger":
            for size in self.sizes:
                start = first & ~(size - 1)
                if size > pgsize and start + size - 1 <= last and start >= first:
                    return start, size, (last + 1 - start) // size
        if part == "around":
            larger = [size for size in self.sizes if size > pgsize]
            if larger:
                return first & ~(larger[0] - 1), larger[0], 1
        if part == "beyond":
            return first, pgsize, count + 1
        return first, pgsize, count

    def _unmapped(self, first: int, last: int) -> None:
        """Cut first..last out of the runs; what is left of a block is in smallest pages."""
        left: list[tuple[int, int, int]] = []
        for run_first, run_last, pgsize in self.runs:
            if run_first > last or run_last < first:
                left.append((run_first, run_last, pgsize))
                continue
            for piece_first, piece_last in (
                (run_first, first - 1),
                (last + 1, run_last),
            ):
                if piece_first <= piece_last:
                    whole = not (piece_first | (piece_last + 1)) & (pgsize - 1)
                    left.append((piece_first, piece_last, pgsize if whole else self.sizes[0]))
        self.runs = left
        self.gone = [*self.gone[1 - KEPT :], (first, last)]

    @rule(pick=draw.picks)
    def settle(self, pick: int) -> None:
        """Do one of the caller's duties, if there is one: sync, flush or release."""
        with self._step(pick):
            if self.table is not None and self.table.duties.any():
                self._do_a_duty(self.table.duties, pick)

    def _do_a_duty(self, duties: Duties, pick: int) -> None:
        if duties.strict and (pick & 1 or not duties.queued):
            self.do("sync")
        elif duties.queued:
            self.do("flush")
        else:
            self.do("release")

    def _look(self, spot: int, pick: int) -> None:
        """Ask the driver for a translation: at an edge, or inside something mapped."""
        if self.session.ended:
            return
        if self.runs and pick & 1:
            first, last, _ = self.runs[spot % len(self.runs)]
            self.do("translate", iova=first + (0x1234 * pick) % (last + 1 - first))
        else:
            self.do("translate", iova=self._spot(spot, self.sizes[0]) + pick)

    @rule(spot=draw.spots, wrong=draw.errors.numbers)
    def misuse(self, spot: int, wrong: int) -> None:
        """A call that the contract forbids."""
        mistake, run = draw.errors.pair(wrong)
        with self._step(spot):
            self._err(mistake, spot, run)

    def _err(self, mistake: str, spot: int, run: draw.Run) -> None:
        table = self.table
        if table is None:
            return
        pgsize = self.sizes[min(run.size, len(self.sizes) - 1)]
        args: dict[str, int] = {
            "iova": self._spot(spot, pgsize), "pa": 0, "pgsize": pgsize, "pgcount": 1, "prot": 3,
            "fail_at": 0,
        }  # fmt: skip
        if mistake == "covered" and self.runs:
            self._lie_over(args, spot)
        elif mistake == "hole" and self.gone:
            # Something unmapped, with the page before it and the page behind it.
            page = self.sizes[0]
            first, last = self.gone[spot % len(self.gone)]
            args["iova"] = max(first - page, 0)
            args["pgsize"] = pgsize = page
            args["pgcount"] = min((last + 1 - first) // page + 2, self.entries)
        else:
            self._misplace(args, mistake, spot, table)
        iova = args["iova"]
        if mistake == "hole" or (spot & 1 and mistake not in ("askew-pa", "outside-pa", "covered")):
            del args["pa"], args["prot"]
            done = self.bytes_of("unmap", **args, gather="strict")
            if done > 0 and args["pgsize"] == pgsize:
                self._unmapped(iova, iova + done - 1)
            return
        if mistake == "covered":
            self._settle(iova, iova + args["pgsize"] - 1)
        self._mapped_wrongly(iova, self.bytes_of("map", **args))

    def _lie_over(self, args: dict[str, int], spot: int) -> None:
        """A larger page over smaller ones, or a smaller one inside a larger."""
        first, _, size = self.runs[spot % len(self.runs)]
        args["iova"] = first & ~(max(args["pgsize"], size) - 1)
        if args["pgsize"] < size:
            args["iova"] = first & ~(args["pgsize"] - 1)

    def _misplace(self, args: dict[str, int], mistake: str, spot: int, table: Table) -> None:
        """Change the arguments of a map or unmap to such as no table takes."""
        page, pgsize = self.sizes[0], args["pgsize"]
        if mistake == "size":
            args["pgsize"] = (0, 0x2000, 0x10_0000, 3 * page)[spot % 4]
        elif mistake == "none":
            args["pgcount"] = 0
        elif mistake == "askew":
            args["iova"] += 0x800 if pgsize == page else page
        elif mistake == "askew-pa":
            args["pa"] = 0x800 if pgsize == page else page
        elif mistake == "outside":
            places = beyond(int(table.config["ias"]), page)
            args["iova"] = places[spot % len(places)] & ~(pgsize - 1)
        elif mistake == "past":
            args["iova"] = table.limit - pgsize
            args["pgcount"] = 2 + spot % 3
        elif mistake == "outside-pa":
            args["pa"] = table.pa_limit

    def _mapped_wrongly(self, iova: int, mapped: int) -> None:
        """Whatever was there is now the driver's secret: ask the promise."""
        if mapped <= 0:
            return
        self._unmapped(iova, iova + mapped - 1)
        table = self.table
        if table is not None and 0 <= iova < table.limit:
            for one in table.translations.parts(iova, iova + mapped - 1, 4):
                span = table.format.span(one.level)
                self.runs.append((one.first, one.first + span - 1, span))


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[PageTableMachine]:
    """The machine for targets with these traits: its tables are drawn accordingly."""

    class MachineForTarget(PageTableMachine):
        @initialize(config=draw.tables(traits), fail_at=draw.creations)
        def create(self, config: dict[str, int | str], fail_at: int) -> None:
            self.create_with({**config, "fail_at": fail_at})

    return MachineForTarget
