"""Profiles: how much a run does."""

from dataclasses import dataclass

SHARDS = 8
"""Shards of a run. Fixed, so that what is found does not depend on how many work on it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. ``examples``: in total, of a system; ``seed``: None is a new one each run."""

    name: str
    title: str
    examples: int
    steps: int
    seed: int | None


PROFILES: dict[str, Profile] = {
    "ci": Profile("ci", "the same run every time, one to two minutes on two cores", 4000, 30, 0),
    "dev": Profile("dev", "a quick look, some seconds", 400, 30, 0),
    "nightly": Profile(
        "nightly",
        "another seed each time, an hour; --database keeps what failed",
        200_000,
        50,
        None,
    ),
}
"""Every profile, by name."""


def profile_by_name(name: str) -> Profile:
    """The profile called ``name``.

    Raises:
        ValueError: there is none.
    """
    if name not in PROFILES:
        raise ValueError(f"profile is {name!r}; allowed are {', '.join(PROFILES)}")
    return PROFILES[name]
