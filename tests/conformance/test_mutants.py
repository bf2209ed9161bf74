"""The catalogue of mutants, how they are loaded, and when one counts as killed."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.discovery import system_by_name
from conformance.kill import main, page, run_mutant, subset
from conformance.mutants.mutant import Mutant, driver_source, edited, load
from conformance.registry import all_mutants, mutant_by_id, mutant_target
from conformance.systems.pagetable import mutants as pagetable
from conformance.systems.pagetable.rules import PAGETABLE
from reference.operations import make

SYSTEM = system_by_name("pagetable")
PAGE = Path(__file__).parents[2] / "docs" / "mutants.md"
RULES = {rule.id for rule in PAGETABLE}


def mutant(rule="TL-1", *edits):
    return Mutant("tried", rule, "tried in a test", edits)


def operations(*calls):
    return [make(name, SYSTEM.specs, **args) for name, args in calls]


def run_on(target, *calls):
    session = SYSTEM.session(target, None, None)
    for operation in operations(*calls):
        session.run(operation)
    session.finish()


# -- the catalogue ----------------------------------------------------------------------------


def test_ids_are_unique_and_stories_are_told():
    ids = [one.id for one in pagetable.MUTANTS]
    assert len(ids) == len(set(ids)) >= 40
    for one in pagetable.MUTANTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.rule in RULES
        assert one.story[0].islower()
        assert not one.story.endswith(".")
        assert one.known == "" or re.fullmatch(r"KB-\d\d", one.known)


def test_every_rule_has_a_mutant():
    assert {one.rule for one in pagetable.MUTANTS} == RULES
    few = subset(pagetable.MUTANTS)
    assert {one.rule for one in few} == RULES
    assert {one.known for one in few} == {one.known for one in pagetable.MUTANTS}
    assert len(RULES) <= len(few) < len(pagetable.MUTANTS)


def test_known_bugs_of_page_tables_are_here_or_said_not_to_be():
    known = {one.known for one in pagetable.MUTANTS}
    numbers = (16, 18, 21, *range(38, 45), 47, 49, 52, 53)
    missing = {f"KB-{number}" for number in numbers} - known
    assert missing == {bug for bug in pagetable.NOT_HERE if re.fullmatch(r"KB-\d\d", bug)}


@pytest.mark.parametrize("one", pagetable.MUTANTS, ids=lambda one: one.id)
def test_each_fits_the_driver(one):
    driver = load(pagetable.DRIVER, [one])
    assert set(driver.places) == {one.id}
    assert driver.source != driver_source(pagetable.DRIVER)


# -- editing ----------------------------------------------------------------------------------

SOURCE = """\
def walk(steps):
    done = 0
    for step in steps:
        if step:
            done += 1
            note(step)
        else:
            done += 2
    return done


def note(step):
    return step
"""


def after(*mutants):
    return edited(SOURCE, mutants)


def test_lines_are_found_at_any_indentation():
    text, places = after(mutant("TL-1", ("done += 2", "done += 3")))
    assert text == SOURCE.replace("+= 2", "+= 3")
    assert places == [("tried", 8, 9)]


def test_only_lines_that_differ_are_counted():
    edit = ("done += 1\nnote(step)", "done += 1\nnote(0)\nnote(1)")
    text, places = after(mutant("TL-1", edit))
    assert text.count("note(") == 3
    assert places == [("tried", 6, 8)]


def test_a_pass_stands_for_lines_left_out():
    text, places = after(mutant("TL-1", ("done += 1\nnote(step)", "done += 1")))
    assert text == SOURCE.replace("            note(step)", "            pass")
    assert places == [("tried", 6, 7)]


def test_order_does_not_matter_where_lines_differ():
    one = Mutant("one", "TL-1", "", (("done += 1\nnote(step)", "done += 5\nnote(step)"),))
    two = Mutant("two", "TL-1", "", (("done += 1\nnote(step)", "done += 1\nnote(7)"),))
    text, places = after(one, two)
    assert after(two, one)[0] == text
    assert "done += 5" in text
    assert "note(7)" in text
    assert [name for name, _, _ in places] == ["one", "two"]


def test_lines_that_are_not_there_or_twice_are_refused():
    with pytest.raises(ValueError, match=r"mutant tried stand 0 times.*allowed is once"):
        after(mutant("TL-1", ("done += 9", "done += 1")))
    with pytest.raises(ValueError, match=r"stand 2 times"):
        edited("one()\ntwo()\none()\n", [mutant("TL-1", ("one()", "three()"))])


def test_an_edit_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="mutant tried changes nothing"):
        after(mutant("TL-1", ("done += 2", "done += 2")))


def test_two_mutants_of_one_line_are_refused():
    edits = ("done += 1", "done += 5"), ("done += 1", "done += 6")
    one, two = (Mutant(name, "TL-1", "", (e,)) for name, e in zip("ab", edits, strict=True))
    with pytest.raises(ValueError, match="allowed are mutants that differ in lines"):
        after(one, two)


def test_an_edit_of_no_statement_is_refused():
    edit = ("def barrier(self) -> None:", "def barrier(self) -> None:  # and wait")
    with pytest.raises(ValueError, match="changes no statement"):
        load(pagetable.DRIVER, [mutant("TL-1", edit)])


# -- executed or not --------------------------------------------------------------------------


def test_what_was_executed_is_known():
    target = mutant_target([mutant_by_id("unmap-not-flushed")])
    run_on(target, ("create", {}), ("map", {"iova": 0}), ("translate", {"iova": 0}))
    assert target.executed("unmap-not-flushed") == (0, 0)
    run_on(target, ("create", {}), ("map", {"iova": 0}), ("unmap", {"iova": 0}))
    assert target.executed("unmap-not-flushed") == (1, 1)
    # The lines are those of a leaf: removing a table does not reach them.
    large = {"iova": 0, "pgsize": 0x20_0000}
    run_on(target, ("create", {}), ("map", {"iova": 0, "pgcount": 512}), ("unmap", large))
    assert target.executed("unmap-not-flushed") == (1, 1)


def test_each_mutant_of_several_is_counted_by_itself():
    target = mutant_target([mutant_by_id("wrong-attribute"), mutant_by_id("table-lost")])
    run_on(target, ("create", {}), ("map", {"iova": 0, "pgcount": 3}))
    assert target.executed("wrong-attribute") == (3, 3)
    assert target.executed("table-lost") == (0, 0)
    with pytest.raises(ValueError, match="mutant is 'endless-loop'; in this driver are"):
        target.executed("endless-loop")


def test_an_edit_in_two_places_has_two_counts():
    target = mutant_target([mutant_by_id("split-table-leaked")])
    half = {"iova": 0, "fail_at": 2}
    block = {"iova": 0, "pgsize": 0x20_0000}
    run_on(target, ("create", {"block_unmap": "split", "bbm": 2}), ("map", block), ("unmap", half))
    assert target.executed("split-table-leaked") == (0, 1)


# -- killed or not ----------------------------------------------------------------------------


def test_a_mutant_that_its_rule_alone_finds_is_killed():
    verdict = run_mutant(mutant_by_id("wrong-attribute"), 12, 2)
    assert verdict.killed
    assert verdict.reason == ""
    assert set(verdict.rules) == {"TR-2"}
    assert verdict.executed > 0
    assert len(verdict.witness) == 2
    assert verdict.examples == 12


def test_an_edit_that_is_never_executed_kills_nothing():
    one = mutant("TR-1", ("return POISON", "return 0"))
    one = replace(one, module="reference.drivers.table_memory")
    verdict = run_mutant(one, 6, 2, system_name="pagetable")
    assert verdict.executed == 0
    assert not verdict.killed
    assert verdict.reason == "the edit was never executed"


def test_an_edit_that_makes_no_difference_is_not_killed():
    edit = ("self.ticket += 1", "self.ticket = self.ticket + 1")
    verdict = run_mutant(mutant("TL-1", edit), 6, 2, system_name="pagetable")
    assert verdict.executed > 0
    assert verdict.examples == 12
    assert not verdict.killed
    assert verdict.reason == "TL-1 found nothing"


def test_a_mutant_that_names_another_rule_is_not_killed():
    known = mutant_by_id("wrong-attribute")
    verdict = run_mutant(mutant("TR-1", *known.edits), 12, 2, system_name="pagetable")
    assert not verdict.killed
    assert verdict.others == ("TR-2",)


def test_a_mutant_that_two_rules_find_is_not_killed():
    both = [mutant_by_id(name).edits for name in ("wrong-attribute", "destroyed-without-flush")]
    verdict = run_mutant(mutant("TR-2", *both[0], *both[1]), 12, 2, system_name="pagetable")
    assert not verdict.killed
    assert verdict.reason == "found by TL-2 too"


# -- the command and the page -----------------------------------------------------------------


def test_the_command_writes_a_table(tmp_path, capsys):
    out = tmp_path / "mutants.md"
    done = main(["root-freed-twice", "--examples", "4", "--show", "--out", str(out)])
    assert done == 0
    said = capsys.readouterr().out
    assert "root-freed-twice" in said
    assert "killed" in said
    assert "    create" in said
    row = next(line for line in out.read_text().splitlines() if "| root-freed-twice |" in line)
    assert "| RC-2 | yes |  | yes | 4 |" in row


@pytest.mark.parametrize("arguments", [["no-such"], ["--examples", "0"], ["--seed", "x"]])
def test_bad_arguments_end_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_the_page_is_of_the_mutants_that_there_are():
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines()]
    cells = {row[0]: row for row in rows if len(row) == 10}
    for one in all_mutants():
        assert cells[one.id][1:5] == [one.known, one.story, one.rule, "yes"], one.id
        assert cells[one.id][6] == "yes"
    assert len(cells) == len(all_mutants()) + 1
    assert page([]).splitlines()[:6] == PAGE.read_text().splitlines()[:6]
