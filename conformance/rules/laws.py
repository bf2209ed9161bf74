"""The laws that several systems share: each has one id wherever it holds.

A system's rule says what its law means there: when it is asked, of which objects, by which check.
What only one system has to keep has an id that no other system uses. So an id never names two laws.
"""

from typing import Final

LAWS: Final = {
    "ER-1": "A call returns one of its documented results.",
    "ER-2": "A call that fails changes nothing but what it reports as done.",
    "NB-1": "What a call does not name is the same after it, and at every instant of it.",
    "OR-1": "A table is complete and visible before an entry leads to it.",
    "OR-2": "A valid entry is replaced by another only by break-before-make.",
    "OR-4": "A store is visible to the device before the invalidation that is meant for it.",
    "PG-1": "Every call returns.",
    "PG-2": "No call crashes, or touches memory that is not the driver's.",
    "PG-3": "A call that keeps the contract prints no warning.",
    "RC-1": "No table is lost: each is linked while it lives, and none is left at the end.",
    "RC-2": "What is freed was allocated, and is freed once.",
    "RC-3": "Page-table entries are stored only to tables that are allocated.",
    "RC-4": "At rest, counts of references are what a recount gives.",
    "SP-1": "Mappings are exactly what was asked for, and what is left of those before.",
    "SP-2": "A mapping that is left keeps its buffer, and each part its place in it.",
    "TL-1": "When a range is given back, nothing is cached for it that is not promised.",
    "TL-2": "A table is freed only after an invalidation that covers the way to it has completed.",
    "TR-1": "Addresses lead where callers were told, and nowhere where nothing was.",
    "TR-2": "What an address grants is what was asked for.",
}
"""Each law in a sentence, by its id."""
