"""Moves each comparison of the hardware model by one, or turns it round: does a test notice?

``python tests/boundaries.py [FILE...]``: of each comparison in ``reference/hardware`` (or in these
files of it) one changed copy is made, and the quick tests of the model run on it. What none of
them notices is printed, and the exit code is 1 then. An interpreted installation is needed.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HARDWARE = ROOT / "reference" / "hardware"
FILES = ("tlb", "invalidation", "context", "changes", "links", "machine", "memory")
TESTS = ("boundaries", "memory", "contexts", "enabled_contexts", "enabling", "tlb")
"""The quick ones; those that pin boundaries come first, for the first that fails is enough."""
MOVED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
SAME_ON_PURPOSE = "no difference:"
"""In a comment on the line of a comparison that may be moved without any difference."""


def changes(source: str) -> Iterator[tuple[int, str, str]]:
    """(line, what it is then, the changed source) of each comparison."""
    for number, node in enumerate(ast.walk(ast.parse(source))):
        if not isinstance(node, ast.Compare):
            continue
        for place, operator in enumerate(node.ops):
            if type(operator) not in MOVED:
                continue
            tree = ast.parse(source)
            other = list(ast.walk(tree))[number]
            assert isinstance(other, ast.Compare)
            other.ops[place] = MOVED[type(operator)]()
            if SAME_ON_PURPOSE not in source.splitlines()[node.lineno - 1]:
                yield node.lineno, ast.unparse(other), ast.unparse(tree)


def notices(folder: Path) -> bool:
    """Whether a quick test fails on the model in a folder."""
    paths = [str(ROOT / "tests" / "reference" / f"test_{name}.py") for name in TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *paths],
        env=os.environ | {"PYTHONPATH": str(folder), "CI": "true"},
        cwd=folder,
        capture_output=True,
        timeout=900,
        check=False,
    )
    return done.returncode != 0


def main() -> int:
    """Try all of them; how many nobody noticed is not the exit code, whether any is."""
    left = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "reference", folder / "reference")
        if notices(folder):
            print("the model itself does not pass its tests", file=sys.stderr)
            return 2
        for stem in sys.argv[1:] or FILES:
            source = (HARDWARE / f"{stem}.py").read_text()
            changed_file = folder / "reference" / "hardware" / f"{stem}.py"
            for line, what, changed in changes(source):
                changed_file.write_text(changed)
                if not notices(folder):
                    left += 1
                    print(f"reference/hardware/{stem}.py:{line}: {what}: not noticed", flush=True)
            changed_file.write_text(source)
    print(f"{left} not noticed", flush=True)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
