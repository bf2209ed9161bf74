"""Seeded bugs of the handoff: the lock, the start, and requests to clean a range."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- the lock -----------------------------------------------------------------------------
    Mutant(
        "lock-no-fence",
        "IS-60",
        "the firmware's flag is looked at before the own one is visible",
        (('yield fence("lock 2")', ""),),
    ),
    Mutant(
        "lock-ignores-flag",
        "IS-60",
        "the lock is taken whatever the firmware's flag says",
        (("if other == 0:", "if other >= 0:"),),
    ),
    Mutant(
        "lock-no-acquire",
        "OR-63",
        "what is read with the lock may have been read before it",
        (('yield acquire("lock 9")', ""),),
    ),
    Mutant(
        "lock-never-backs-off",
        "PG-1",
        "the own flag stays up while it is the firmware's turn",
        (("if turn == AP_TURN:\n    continue", "if turn >= AP_TURN:\n    continue"),),
    ),
    Mutant(
        "unlock-keeps-turn",
        "PG-60",
        "the turn is not given with the lock",
        (('yield store("unlock 2", TURN, FW_TURN)', ""),),
    ),
    Mutant(
        "unlock-keeps-flag",
        "PG-60",
        "the own flag is not taken down",
        (('yield release("unlock 3", LOCK_AP, 0)', ""),),
    ),
    Mutant(
        "unlock-plain",
        "OR-61",
        "the flag may be down before what was stored with the lock is visible",
        (
            (
                'yield release("unlock 3", LOCK_AP, 0)',
                'yield store("unlock 3", LOCK_AP, 0)',
            ),
        ),
    ),
    # -- the start ----------------------------------------------------------------------------
    Mutant(
        "start-no-magic",
        "ER-60",
        "the firmware is not told who is there",
        (('yield store("initialise 1", MAGIC_AP, MAGIC)', ""),),
    ),
    Mutant(
        "start-keeps-context",
        "ER-60",
        "the context that the firmware is said to be in is left as it was",
        (('yield store("initialise 2", CUR_SLOT, NO_CONTEXT)', ""),),
    ),
    Mutant(
        "start-keeps-entries",
        "ER-60",
        "the last flush entry, which is the kernel's, is left as it was",
        (("for entry in range(KERNEL_ENTRY + 1):", "for entry in range(KERNEL_ENTRY):"),),
    ),
    Mutant(
        "start-keeps-roots",
        "ER-60",
        "roots of users' contexts are left as they were",
        (('yield store("create 4", ttb1(context), 0, context)', ""),),
    ),
    Mutant(
        "start-no-patience",
        "ER-1",
        "a firmware that comes late is not waited for",
        (("for _ in range(BOOT_NAPS):", "for _ in range(0):"),),
    ),
    Mutant(
        "start-without-firmware",
        "ER-1",
        "the driver starts although no firmware has said that it runs",
        (("if magic != MAGIC:\n    return -errno.EIO", ""),),
    ),
    Mutant(
        "start-fails-locked",
        "PG-60",
        "a start that fails keeps the lock",
        (
            (
                "yield from self.unlock()\nif magic != MAGIC:\n    return -errno.EIO",
                "if magic != MAGIC:\n    return -errno.EIO\nyield from self.unlock()",
            ),
        ),
    ),
    Mutant(
        "regions-no-check",
        "ER-1",
        "a region that is too small is taken",
        (("if size < needed:\n    return -errno.ENOMEM", ""),),
    ),
    # -- requests -----------------------------------------------------------------------------
    Mutant(
        "request-no-state",
        "OR-60",
        "the range is written, and the entry is left idle",
        (('yield store("begin 3", flush_state(entry), REQUESTED, entry)', ""),),
    ),
    Mutant(
        "request-no-order",
        "OR-62",
        "the message may be seen before what it says",
        (('yield order("send 5", live)', ""),),
    ),
    Mutant(
        "request-no-wait",
        "OR-60",
        "the entry is freed while the firmware is at it",
        (("looks += 1\nif looks == self.patience:\n    return -errno.ETIMEDOUT", "break"),),
    ),
    Mutant(
        "request-no-acquire",
        "OR-63",
        "the answer may have been read before the message was answered",
        (('yield acquire("send 8", entry)', ""),),
    ),
    Mutant(
        "request-not-ended",
        "OR-60",
        "the entry is left as the firmware has set it",
        (('yield store("end 2", flush_state(entry), IDLE, entry)', ""),),
    ),
    Mutant(
        "request-one-page",
        "TL-60",
        "of any range the first page is asked for",
        (
            (
                'yield store("begin 2", flush_size(entry), size, entry)',
                'yield store("begin 2", flush_size(entry), PAGE, entry)',
            ),
        ),
    ),
    Mutant(
        "request-kernel-skipped",
        "TL-60",
        "ranges of the kernel's half are never cleaned",
        (("if vm.kernel:\n    return KERNEL_ENTRY", "if vm.kernel:\n    return -1"),),
    ),
    Mutant(
        "request-kernel-entry",
        "IS-65",
        "ranges of users are asked for in the kernel's entry",
        (
            (
                "if mine and (current == context or not self.trusts_switch):\n    return context",
                "if mine and (current == context or not self.trusts_switch):\n"
                "    return KERNEL_ENTRY",
            ),
        ),
    ),
    Mutant(
        "request-trusts-switch",
        "TL-60",
        "the firmware is taken to flush when it changes context, although it is not known to",
        (
            (
                "if mine and (current == context or not self.trusts_switch):",
                "if mine and current == context:",
            ),
        ),
    ),
    Mutant(
        "request-never-inside",
        "TL-60",
        "what the firmware uses in a user's context is not cleaned while it is there",
        (
            (
                "if mine and (current == context or not self.trusts_switch):",
                "if mine and not self.trusts_switch:",
            ),
        ),
    ),
)
