"""The budget of steps of a call: a driver that is in an endless loop ends all the same."""

from mypy_extensions import i64, mypyc_attr


class StepsExceeded(Exception):
    """The driver did more than any call needs: it is in an endless loop."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Steps:
    """Counts the steps of a call: accesses to a table or register, looks at a VMA or hole.

    ``budget``: how many are left before ``StepsExceeded``.
    """

    def __init__(self, budget: i64) -> None:
        self.budget: i64 = budget

    def spend(self) -> None:
        """Count one step.

        Raises:
            StepsExceeded: the budget is used up.
        """
        self.budget -= 1
        if self.budget < 0:
            raise StepsExceeded("the call did not return within its budget of steps")
