"""What a rule says when it is broken."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule was broken.

    ``signature`` tells one defect from another and never holds an address, a line number
    or a count. ``message`` is for people and may hold all of them. ``event`` is the number
    of the offending event in the trace; ``iova`` the address to look at, -1 for none.
    ``label`` is "misuse" where the call itself was outside the contract. ``corrupts``: from
    here on driver or device works on memory that is no table, so that what else is wrong with
    the step may follow from it: it is not judged, and the operation is undone.
    """

    rule: str
    signature: str
    message: str
    event: int
    iova: int = -1
    expected: str = ""
    observed: str = ""
    label: str = ""
    stale: tuple[int, int, int, int] | None = None
    corrupts: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        """Rule and signature: with the system, what makes two violations the same."""
        return (self.rule, self.signature)
