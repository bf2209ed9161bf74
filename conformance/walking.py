"""Walks through table memory that somebody saved to a file: for the ``walk`` command."""

from collections.abc import Sequence
from dataclasses import dataclass

from conformance.systems.nvidia.entries import half_text
from reference.formats import FORMATS
from reference.formats.access import access_text
from reference.formats.entry import (
    INVALID,
    LEAF,
    ROLE_NAMES,
    SPARSE,
    TABLE,
    Reading,
)
from reference.formats.format import Format, Geometry
from reference.formats.nvidia import NVIDIA_FORMATS, Half, NvidiaFormat, meaning_text
from reference.words import hex_word, parse_word, to_signed, to_unsigned

WORD = 8
"""Bytes of a table entry, in every format."""


@dataclass(frozen=True, slots=True)
class Image:
    """Table memory: 64-bit words, the lowest byte first, from physical address ``base`` on."""

    base: int
    data: bytes

    @property
    def end(self) -> int:
        """The first physical address after it."""
        return self.base + len(self.data)

    def word(self, pa: int) -> int | None:
        """The held word at ``pa``, a multiple of 8; None outside the image."""
        at = pa - self.base
        if not 0 <= at < len(self.data):
            return None
        return to_signed(int.from_bytes(self.data[at : at + WORD], "little"))


def read_image(file: str, base: int) -> Image:
    """The image in ``file``, which starts at physical address ``base``.

    Raises:
        ValueError: the file cannot be read or is not made of 64-bit words, or ``base`` is not
            where such words can start.
    """
    if base % WORD:
        raise ValueError(f"base is {base:#x}; allowed are multiples of {WORD}")
    try:
        with open(file, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise ValueError(f"image is {file!r}, which cannot be read ({error.strerror})") from None
    if len(data) % WORD:
        raise ValueError(
            f"image is {file!r} of {len(data)} bytes; allowed are files of 64-bit words, "
            f"whose length is a multiple of {WORD}"
        )
    if base + len(data) > 1 << 64:
        raise ValueError(
            f"base is {base:#x}; allowed for an image of {len(data)} bytes are addresses up to "
            f"{(1 << 64) - len(data):#x}"
        )
    return Image(base, data)


def format_of(name: str) -> Format | NvidiaFormat:
    """The format called ``name``, with tables of one size of page each, or of two side by side.

    Raises:
        ValueError: there is none.
    """
    found = FORMATS.get(name) or NVIDIA_FORMATS.get(name)
    if found is None:
        allowed = ", ".join([*FORMATS, *NVIDIA_FORMATS])
        raise ValueError(f"format is {name!r}; allowed are {allowed}")
    return found


def walked(
    format_name: str,
    roots: Sequence[str],
    image_file: str,
    base: str,
    ias: int | None,
    addresses: Sequence[str],
    fields: bool = False,
) -> str:
    """The walk of each of ``addresses``, with every entry decoded.

    Args:
        format_name: as in ``reference.formats``.
        roots: physical addresses of the root table: one, or for formats with root registers
            one for each register, from the first on.
        image_file: a file of table memory; see :class:`Image`.
        base: the physical address of its first byte.
        ias: input address bits; None takes the most that the format has.
        addresses: input addresses, any byte.
        fields: also say what each field of each entry holds.

    Raises:
        ValueError: one of them is not usable.
    """
    fmt = format_of(format_name)
    if isinstance(fmt, NvidiaFormat):
        return _walked_nvidia(fmt, roots, image_file, base, ias, addresses, fields)
    geometry = fmt.geometry(fmt.ias_choices[-1] if ias is None else ias)
    image = read_image(image_file, _address("base", base))
    tables = [_root(one, geometry, image) for one in roots]
    most = int(geometry.entries(0)) if fmt.registers else 1
    if not 1 <= len(tables) <= most:
        allowed = f"1 to {most}" if most > 1 else "1"
        raise ValueError(
            f"{len(tables)} roots are given; allowed for {fmt.name} with ias {geometry.ias}: "
            f"{allowed}"
        )
    vas = [_address("VA", one) for one in addresses]
    shown = " ".join(f"{table:#x}" for table in tables)
    lines = [
        f"{fmt.name} ({fmt.title}), {geometry.ias} input bits, root {shown}, image "
        f"{image.base:#x}..{image.end - 1:#x}"
    ]
    for va in vas:
        lines += ["", f"{va:#x}", *_walk(geometry, image, tables, va, fields)]
    return "\n".join(lines) + "\n"


def _walk(
    geometry: Geometry, image: Image, roots: Sequence[int], va: int, fields: bool
) -> list[str]:
    fmt = geometry.format
    held = to_signed(va)
    if not geometry.contains(held):
        return [f"    -> nothing: the address is beyond the {geometry.ias} input bits"]
    level = int(geometry.start_level)
    table = roots[0]
    lines = []
    if fmt.registers:
        number = int(geometry.index(0, held))
        if number >= len(roots):
            return [f"    -> nothing: no root is given for register {number}"]
        table = roots[number]
        lines.append(f"    level 0 register {number}: table at {table:#x}")
        level += 1
    denied = 0
    while True:
        index = int(geometry.index(level, held))
        pa = table + index * WORD
        word = image.word(pa)
        if word is None:
            lines.append(f"    level {level} [{index}] of {table:#x}: not in the image")
            return [*lines, f"    -> unknown: the image does not have the entry at {pa:#x}"]
        kind = fmt.kind(level, word)
        lines.append(
            f"    level {level} [{index}] of {table:#x}: {hex_word(word)}  {ROLE_NAMES[kind]}: "
            f"{fmt.describe(level, word)}"
        )
        if fields:
            lines += _field_lines(fmt.decode(word, level)[0])
        if kind == TABLE:
            denied |= fmt.denied(level, word)
            table = int(fmt.next_table(level, word))
            level += 1
            continue
        if kind != LEAF:
            return [*lines, f"    -> nothing: translation fault, level {level}"]
        offset = va & (int(fmt.span(level)) - 1)
        access = access_text(fmt.meaning(level, word) & ~denied)
        return [*lines, f"    -> {fmt.output(level, word) + offset:#x} {access}"]


def _field_lines(reading: Reading) -> list[str]:
    lines = []
    for field, value in reading.fields():
        bits = f"[{field.high}:{field.low}]" if field.high != field.low else f"[{field.low}]"
        said = f" {field.values[value]}" if value in field.values else ""
        lines.append(f"        {bits:<9}{field.name} = {value:#x}{said}")
    return lines


# -- tables of two sizes of page side by side ---------------------------------------------------


def _walked_nvidia(
    fmt: NvidiaFormat,
    roots: Sequence[str],
    image_file: str,
    base: str,
    ias: int | None,
    addresses: Sequence[str],
    fields: bool,
) -> str:
    """As :func:`walked`, for a format of NVIDIA: one root, and always all input bits."""
    if ias not in (None, fmt.va_bits):
        raise ValueError(f"ias is {ias}; allowed for {fmt.name} are {fmt.va_bits}")
    if len(roots) != 1:
        raise ValueError(f"{len(roots)} roots are given; allowed for {fmt.name}: 1")
    image = read_image(image_file, _address("base", base))
    root = _placed_root(roots[0], int(fmt.tables[0].bytes), image)
    lines = [
        f"{fmt.name} ({fmt.title}), {fmt.va_bits} input bits, root {root:#x}, image "
        f"{image.base:#x}..{image.end - 1:#x}"
    ]
    for va in [_address("VA", one) for one in addresses]:
        lines += ["", f"{va:#x}"]
        if va >> fmt.va_bits:
            lines.append(f"    -> nothing: the address is beyond the {fmt.va_bits} input bits")
        else:
            found, end = _walk_from(fmt, image, 0, root, va, fields)
            lines += [*found, f"    -> {end}"]
    return "\n".join(lines) + "\n"


def _walk_from(
    fmt: NvidiaFormat, image: Image, number: int, table: int, va: int, fields: bool
) -> tuple[list[str], str]:
    """The walk from a table of this number on, and what it comes to.

    Where an entry has two halves, the large one is looked at first. "" if a large entry leaves
    it to the small table.
    """
    one = fmt.tables[number]
    index = int(fmt.index(number, va))
    lines: list[str] = []
    for half in one.halves:
        pa = table + (index * int(one.words) + int(half.word)) * WORD
        word = image.word(pa)
        where = f"    {one.name} [{index}] of {table:#x}: "
        if word is None:
            lines.append(f"{where}not in the image")
            return lines, f"unknown: the image does not have the entry at {pa:#x}"
        name = f"{half.name}: " if half.name else ""
        lines.append(f"{where}{hex_word(word)}  {name}{half_text(fmt, number, half, word)}")
        if fields:
            lines += _field_lines(Reading(half.candidate(word).kind, (number,), word))
        end = ""
        if fmt.role(half, word) == TABLE:
            child, at = int(half.child), int(fmt.output(half, word))
            more, end = _walk_from(fmt, image, child, at, va, fields)
            lines += more
        elif fmt.role(half, word) != INVALID:
            end = _end_text(fmt, number, half, word, va)
        if end:
            return lines, end
    return lines, "" if number == fmt.large else f"nothing: translation fault, {one.name}"


def _end_text(fmt: NvidiaFormat, number: int, half: Half, word: int, va: int) -> str:
    """What a walk comes to that ends at a word which is not invalid."""
    one = fmt.tables[number]
    role = fmt.role(half, word)
    if role == LEAF:
        pa = int(fmt.output(half, word)) + (va & (int(one.span) - 1))
        return f"{pa:#x} {meaning_text(int(fmt.meaning(half, word)))}"
    if role == SPARSE:
        return "sparse: reads give zeros, writes are dropped"
    return f"nothing: translation fault, {one.name}"


def _root(text: str, geometry: Geometry, image: Image) -> int:
    fmt = geometry.format
    size = fmt.granule if fmt.registers else min(geometry.root_bytes, fmt.granule)
    return _placed_root(text, size, image)


def _placed_root(text: str, size: int, image: Image) -> int:
    """The address of a root, a multiple of ``size`` in the image."""
    root = _address("root", text)
    if root % size:
        raise ValueError(f"root is {root:#x}; allowed are multiples of {size:#x}")
    if not image.base <= root < image.end:
        where = f"{image.base:#x} to {image.end - 1:#x}" if image.data else "none: it is empty"
        raise ValueError(f"root is {root:#x}; allowed are addresses in the image, {where}")
    return root


def _address(name: str, text: str) -> int:
    try:
        return to_unsigned(parse_word(text))
    except ValueError:
        raise ValueError(
            f"{name} is {text!r}; allowed are decimal or 0x hexadecimal numbers, "
            f"0 to {2**64 - 1:#x}"
        ) from None
