"""What the three views of a page table said, for a counterexample."""

from collections.abc import Iterator, Sequence

from conformance.rules.rule import Violation
from conformance.session import Session
from conformance.table_segments import Page, mapped, pages, promised, views
from reference.operations import Operation
from reference.systems.pagetable.promise import Table
from reports.counterexample import Segment, Views


class PageTableViews:
    """Looks at a session before its last operation and after it."""

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._window = _window(session.promise.table, operations)
        self._promise = self._promised()
        self._hardware = self._mapped()

    def _promised(self) -> tuple[Segment, ...]:
        table: Table | None = self._session.promise.table
        return () if table is None else promised(table.translations, self._window)

    def _mapped(self) -> tuple[Segment, ...]:
        table: Table | None = self._session.promise.table
        return () if table is None else mapped(table.view, self._window)

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        table: Table | None = session.promise.table
        return views(
            violation, session.trace, len(session.operations), self._window,
            (self._promise, self._hardware), (self._promised(), self._mapped()),
            space=None if table is None else table.view,
        )  # fmt: skip


def look(session: Session, operation: Operation) -> Iterator[Page]:
    """What the pages that ``operation`` touched translate to now, ascending."""
    table: Table | None = session.promise.table
    iova = operation.args.get("iova")
    if table is None or not isinstance(iova, int) or not 0 <= iova < table.limit:
        return
    size = int(operation.args.get("pgsize", 1)) * int(operation.args.get("pgcount", 1))
    yield from pages(table.view, iova, min(iova + max(size, 1), table.limit) - 1)


def _window(table: Table | None, operations: Sequence[Operation]) -> tuple[int, int] | None:
    """The addresses that the operations speak of, with a page on each side; None: none."""
    if table is None:
        return None
    limit, page = table.limit, table.format.page_sizes[0]
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        iova = operation.args.get("iova")
        if isinstance(iova, int) and 0 <= iova < limit:
            size = int(operation.args.get("pgsize", page)) * int(operation.args.get("pgcount", 1))
            firsts.append(iova & ~(page - 1))
            lasts.append(min(max(iova + max(size, page) - 1, iova), limit - 1))
    if not firsts:
        return None
    return max(min(firsts) - page, 0), min(max(lasts) + page, limit - 1)
