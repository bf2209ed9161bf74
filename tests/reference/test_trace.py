"""Traces: the same events in memory, in binary and in JSON."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.systems.gpuvm.events import backing_of
from reference.trace import (
    KINDS,
    RECORD_BYTES,
    STORE,
    Event,
    Trace,
    event_from_json,
    event_to_json,
    invalidate_command,
)
from reference.words import to_signed

WORDS = st.integers(0, (1 << 64) - 1)
PLACES = ("", "map_pages", "unmap_pages")


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of any kind, with words only in the fields that it has."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    used = len(KINDS[kind][1])
    words = [draw(WORDS) if i < used else 0 for i in range(3)]
    cpu, place = draw(st.integers(0, 0xFFFF)), draw(st.integers(0, 2))
    return Event(kind, words[0], words[1], words[2], cpu, place)


@given(st.lists(events(), max_size=20))
def test_binary_and_json_say_the_same(some: list[Event]) -> None:
    """A trace comes back from its binary form and from its JSON form as it was."""
    trace = Trace()
    for event in some:
        trace.append(event)
    assert list(trace) == some
    again = Trace()
    again.extend_bytes(trace.to_bytes())
    assert again.words == trace.words
    assert [event_from_json(shown, PLACES) for shown in trace.to_json(PLACES)] == some


def test_record_is_what_c_code_fills() -> None:
    """Head (kind, cpu, place), a, b, c: four little-endian 64-bit words."""
    trace = Trace()
    trace.append(Event(STORE, 0x80001000, 0, (1 << 64) - 1, cpu=3, place=7))
    head = STORE | 3 << 16 | 7 << 32
    assert trace.to_bytes() == struct.pack("<4Q", head, 0x80001000, 0, (1 << 64) - 1)
    assert len(trace.to_bytes()) == RECORD_BYTES


def test_emit_is_append_without_an_object() -> None:
    """``emit`` takes held words."""
    trace = Trace()
    trace.emit(STORE, 0x1000, to_signed((1 << 64) - 1), 5, 2)
    assert list(trace) == [Event(STORE, 0x1000, (1 << 64) - 1, 5, place=2)]
    assert len(trace) == 1
    trace.clear()
    assert len(trace) == 0


def test_command_word_of_an_invalidation() -> None:
    """Scope, cause and ticket have places of their own."""
    assert invalidate_command(3, 2, 0x1234) == 0x1234_0203


def test_backing_word_of_a_mapping() -> None:
    """Number and offset have places of their own, and the word is held."""
    assert backing_of(3, 0x5000) == 0x3_0000_0000_5000
    assert backing_of(0xFFFF, 0) == -0x1_0000_0000_0000


@pytest.mark.parametrize(
    ("shown", "part"),
    [
        ({"event": "stroe"}, "event is 'stroe'"),
        ({"event": "store", "pa": "0x0", "old": "0x0"}, "'new'"),
        ({"event": "store", "pa": "0x0", "old": "0x0", "new": "0x0", "more": 1}, "'more'"),
        ({"event": "free", "pa": "somewhere", "size": "0x0"}, "pa of event free is 'somewhere'"),
        ({"event": "free", "pa": True, "size": "0x0"}, "pa of event free is True"),
        ({"event": "warn", "place": "nowhere"}, "place is 'nowhere'"),
    ],
)
def test_bad_json_is_named(shown: dict[str, Any], part: str) -> None:
    """The message names what was given and what is allowed."""
    with pytest.raises(ValueError, match="allowed are") as caught:
        event_from_json(shown, PLACES)
    assert part in str(caught.value)


def test_other_bad_input_is_named() -> None:
    """Kinds, lengths and indices are checked."""
    with pytest.raises(ValueError, match="kind is 99; allowed are"):
        Event(99)
    with pytest.raises(ValueError, match="31 bytes; allowed are multiples of 32"):
        Trace().extend_bytes(bytes(31))
    with pytest.raises(IndexError, match="index is 0; allowed are 0 to -1"):
        Trace().event(0)
    assert event_to_json(Event(STORE, 1, 2, 3, place=9), PLACES)["place"] == 9
