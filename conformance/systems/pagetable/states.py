"""The kinds of state that operations of system ``pagetable`` can meet."""

from conformance.states import States
from reference.systems.pagetable.promise import PageTableCall, PageTablePromise, Table

WORDS = {
    "snoops": "a walker that snoops the CPU's caches",
    "dark": "a walker that does not",
    "splits": "a driver that unmaps parts of blocks",
    "small": "pages of the smallest size",
    "block": "blocks: pages of a larger size",
    "several": "more than one page, or range",
    "one": "one page, or range",
    "tables": "a run that goes through more than one table",
    "over-table": "a table that was left where a block is to be",
    "beside": "a page right beside the range that is mapped",
    "other-size": "pages of another size in the same table, or behind one of its entries",
    "part": "a part of a block",
    "smaller": "smaller pages than the call says",
    "last": "the last pages of a table",
    "strict": "a flush that follows at once",
    "queued": "a flush that is to come later",
    "waiting": "something that was unmapped and not released",
    "lack": "memory that runs short",
    "empty": "a table in which nothing is mapped",
    "mapped": "a table in which something is",
}

_WALKS = ("snoops", "dark")

PAIRS = {
    "create": (*_WALKS, "splits", "lack"),
    "map": (
        "small", "block", "one", "several", "tables", "over-table", "beside", "other-size",
        "waiting", "lack", *_WALKS,
    ),
    "unmap": (
        "small", "block", "one", "several", "tables", "beside", "other-size", "part", "smaller",
        "last", "strict", "queued", "lack", *_WALKS,
    ),
    "sync": ("one", "several", *_WALKS),
    "flush": ("one", "several", *_WALKS),
    "release": ("one", "several"),
    "destroy": ("empty", "mapped", "waiting", *_WALKS),
}  # fmt: skip


def met(promise: PageTablePromise, call: PageTableCall) -> list[str]:
    """What a legal call meets."""
    table, operation = promise.table, call.operation
    name = operation.name
    if table is None:
        return []
    words = []
    if name != "release":
        words.append("snoops" if table.config["coherent"] else "dark")
    if name in ("map", "unmap"):
        words += _range(table, call)
        if name == "unmap":
            words += [operation.string("gather"), *_unmapped(table, call)]
        elif table.duties.any():
            words.append("waiting")
    elif name == "create":
        words += ["splits"] * (table.config["block_unmap"] == "split")
    elif name == "destroy":
        words.append("mapped" if table.translations.bytes else "empty")
        words += ["waiting"] * table.duties.any()
    else:
        words += ["one" if len(call.due) == 1 else "several"] * bool(call.due)
    if operation.args.get("fail_at"):
        words.append("lack")
    return words


def _range(table: Table, call: PageTableCall) -> list[str]:
    """Words for the range of a map or unmap, and what lies around it."""
    operation, fmt = call.operation, table.format
    pgsize, count = operation.number("pgsize"), operation.number("pgcount")
    first, last = call.first, call.last
    level = int(fmt.level_of(pgsize))
    reach = int(fmt.span(level - 1)) if level else table.limit
    translations = table.translations
    words = ["small" if pgsize == fmt.page_sizes[0] else "block"]
    words.append("one" if count == 1 else "several")
    words += ["tables"] * (first // reach != last // reach)
    beside = any(0 <= at < table.limit and translations.level_at(at) >= 0
                 for at in (first - 1, last + 1))  # fmt: skip
    words += ["beside"] * beside
    if operation.name == "map" and pgsize > fmt.page_sizes[0]:
        words += ["over-table"] * (table.view.walker.translate(first)[0] > level)
    # Up to so many pages around it are looked at.
    low, high = max(first - 4 * pgsize, first // reach * reach), last + 4 * pgsize
    parts = translations.parts(low, min(high, last // reach * reach + reach - 1), 12)
    words += ["other-size"] * any(
        one.level != level and (one.last < first or one.first > last) for one in parts
    )
    return words


def _unmapped(table: Table, call: PageTableCall) -> list[str]:
    """Words for what an unmap takes out."""
    fmt, translations = table.format, table.translations
    level = int(fmt.level_of(call.operation.number("pgsize")))
    # What is at its start stands for all of it: to look through a range takes long.
    found = int(translations.level_at(call.first))
    words = ["part"] * (found < level) + ["smaller"] * (found > level)
    if found > 0:
        # All that is promised behind the entry that leads to the table.
        reach = int(fmt.span(found - 1))
        end = min(call.last, (call.first // reach + 1) * reach - 1)
        count = (end + 1 - call.first) >> int(fmt.shift(found))
        words += ["last"] * (translations.below[found - 1].get(call.first // reach, 0) <= count)
    return words


STATES = States(words=WORDS, pairs=PAIRS, met=met)
"""What operations of system ``pagetable`` can meet."""
