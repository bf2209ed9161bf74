"""Formats of any installed distribution: found by entry points, imported when asked for."""

import sys

import pytest

from reference.formats import Formats

MODULE = """
from reference.formats.lpae import LPAE_S1
from reference.formats.format import Format, Level, Sizes, Walks

MINE = Format(
    name="mine",
    title="somebody's",
    source="none",
    tables=[Level(one.number, one.shift, one.bits, one.kinds) for one in LPAE_S1.tables],
    sizes=Sizes(LPAE_S1.granule, LPAE_S1.ias_choices, LPAE_S1.oas_choices, LPAE_S1.page_sizes),
    permissions=LPAE_S1.permissions,
    walks=Walks(fixed_start=False, caches_invalid=False),
)
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a distribution with these lines in the group of formats."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, *lines: str) -> None:
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        text = "\n".join(["[mmu_conformance.formats]", *lines])
        (folder / "entry_points.txt").write_text(text + "\n")
        (tmp_path / "somebodys_format.py").write_text(MODULE)

    yield install
    sys.modules.pop("somebodys_format", None)


def test_a_format_of_somebody_elses_is_found(installed) -> None:
    installed("somebody", "mine = somebodys_format:MINE")
    found = Formats()
    assert "mine" in found
    assert {"lpae-s1", "gp100"} < set(found)
    assert list(found) == sorted(found)
    assert "somebodys_format" not in sys.modules
    assert found["mine"].title == "somebody's"
    assert found["mine"] is found["mine"]
    assert found["mine"].describe(3, 0) == "invalid"


def test_a_name_stands_for_one_format(installed) -> None:
    installed("somebody", "lpae-s1 = somebodys_format:MINE")
    with pytest.raises(ValueError, match=r"format lpae-s1 is .*, of two distributions"):
        list(Formats())


def test_what_is_no_format_of_its_name_is_refused(installed) -> None:
    installed("somebody", "yours = somebodys_format:MINE", "text = somebodys_format:__name__")
    for name in ("yours", "text"):
        with pytest.raises(ValueError, match=f"format {name} is somebodys_format:.*, which is"):
            Formats()[name]
