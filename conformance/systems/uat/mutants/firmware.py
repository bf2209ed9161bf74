"""Seeded bugs of the firmware: what a driver cannot see, and the rules do."""

from conformance.mutants.mutant import Mutant

FIRMWARE = "reference.systems.uat.firmware"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "firmware-no-fence",
        "IS-60",
        "the firmware looks at the driver's flag before its own is visible",
        (('yield fence("fw lock 2")', ""),),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-ignores-flag",
        "IS-60",
        "the firmware takes the lock whatever the driver's flag says",
        (("if other == 0:", "if other >= 0:"),),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-never-backs-off",
        "PG-1",
        "the firmware's flag stays up while it is the driver's turn",
        (("if turn != AP_TURN:\n    continue", "if turn >= AP_TURN:\n    continue"),),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-keeps-turn",
        "PG-1",
        "the firmware does not give the turn with the lock",
        (('yield store("fw unlock 2", TURN, AP_TURN)', ""),),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-keeps-flag",
        "PG-1",
        "the firmware does not take its flag down",
        (('yield release("fw unlock 3", LOCK_FW, 0)', ""),),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-cleans-nothing",
        "TL-61",
        "the firmware says that it was done, and has cleaned nothing",
        (("if of_it and first <= line.va < first + size:", "if of_it and size < 0:"),),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-cleans-one-page",
        "TL-61",
        "the firmware cleans the first page of a range",
        (
            (
                "if of_it and first <= line.va < first + size:",
                "if of_it and first <= line.va < first + PAGE:",
            ),
        ),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-leaves-with-lines",
        "TL-61",
        "the firmware leaves a context with lines of it, although it is known to flush them",
        (("if line.half == LOWER:\n    self.drop(line)", "pass"),),
        module=FIRMWARE,
    ),
    Mutant(
        "firmware-half-answer",
        "OR-60",
        "the firmware cleans, reads the message, and does not say that it was done",
        (('yield release("serve 8", flush_state(entry), DONE, live)', ""),),
        module=FIRMWARE,
    ),
)
