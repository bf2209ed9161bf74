"""The operations of system ``pagetable`` as a system would declare them, and two samples."""

from pathlib import Path

import pytest

from reference.operations import Specs
from reports.counterexample import Counterexample, load
from reports.vocabulary import Vocabulary

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def vocabulary(specs: Specs) -> Vocabulary:
    return Vocabulary(specs)


@pytest.fixture(scope="session")
def kb16_file() -> Path:
    return DATA / "kb-16.json"


@pytest.fixture(scope="session")
def kb21_file() -> Path:
    return DATA / "kb-21.json"


@pytest.fixture(scope="session")
def kb16(kb16_file: Path) -> Counterexample:
    return load(kb16_file)


@pytest.fixture(scope="session")
def kb21(kb21_file: Path) -> Counterexample:
    return load(kb21_file)
