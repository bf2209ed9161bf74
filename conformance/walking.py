"""Walks through table memory that somebody saved to a file: for the ``walk`` command."""

from collections.abc import Sequence
from dataclasses import dataclass

from reference.formats import format_by_name
from reference.formats.entry import HOLE, INVALID, ROLE_NAMES, Reading
from reference.formats.format import Format, Geometry
from reference.formats.walk import BEYOND, FOUND, NO_ROOT, NO_WORD, ZEROS, Fetch, Walk
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
        ias: input address bits; None takes the most that one table has.
        addresses: input addresses, any byte.
        fields: also say what each field of each entry holds.

    Raises:
        ValueError: one of them is not usable.
    """
    fmt = format_by_name(format_name)
    geometry = fmt.geometry(fmt.ias_choices[-1] if ias is None else ias)
    image = read_image(image_file, _address("base", base))
    tables = [_root(one, geometry, image) for one in roots]
    if not 1 <= len(tables) <= geometry.roots:
        allowed = f"1 to {geometry.roots}" if geometry.roots > 1 else "1"
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
        walk = Walk(geometry, tables, image.word, va)
        lines += ["", f"{va:#x}", *_lines(walk, tables, fields), f"    -> {_end(walk)}"]
    return "\n".join(lines) + "\n"


def _lines(walk: Walk, roots: Sequence[int], fields: bool) -> list[str]:
    """What the walk looked at, line by line."""
    fmt = walk.geometry.format
    lines = []
    if 0 <= walk.register < len(roots):
        lines.append(f"    level 0 register {walk.register}: table at {roots[walk.register]:#x}")
    for one in walk.fetches:
        where = f"    {fmt.tables[one.level].title} [{one.index}] of {one.table:#x}: "
        if one.word is None:
            lines.append(f"{where}not in the image")
            continue
        lines.append(f"{where}{hex_word(one.word)}  {_entry_text(fmt, one, one.word)}")
        if fields:
            kind = one.half.candidate(one.word).kind
            lines += _field_lines(Reading(kind, (one.level,), one.word))
    return lines


def _entry_text(fmt: Format, fetch: Fetch, word: int) -> str:
    """What a half of an entry is to the walker, and what its fields say."""
    half = fetch.half
    role = int(half.role(word))
    name = f"{half.name}: " if half.name else ""
    text = f"{name}{ROLE_NAMES[role]}: {half.candidate(word).kind.describe(word)}"
    if fetch.level == fmt.large and role == INVALID:
        return f"{text} (small pages decide)"
    if fetch.level == fmt.large and role == HOLE:
        return f"{text} (small pages are not looked at)"
    return text


def _end(walk: Walk) -> str:
    """What the walk came to."""
    fmt = walk.geometry.format
    if walk.end == FOUND:
        return f"{walk.pa:#x} {fmt.permissions.granted_text(walk.meaning)}"
    if walk.end == ZEROS:
        return "sparse: reads give zeros, writes are dropped"
    if walk.end == BEYOND:
        return f"nothing: the address is beyond the {walk.geometry.ias} input bits"
    if walk.end == NO_ROOT:
        return f"nothing: no root is given for register {walk.register}"
    if walk.end == NO_WORD:
        return f"unknown: the image does not have the entry at {walk.fetches[-1].pa:#x}"
    return f"nothing: translation fault, {fmt.tables[walk.level].title}"


def _field_lines(reading: Reading) -> list[str]:
    lines = []
    for field, value in reading.fields():
        said = f" {field.values[value]}" if value in field.values else ""
        lines.append(f"        {field.position:<9}{field.name} = {value:#x}{said}")
    return lines


def _root(text: str, geometry: Geometry, image: Image) -> int:
    """The address of a root table in the image, a multiple of its size."""
    fmt = geometry.format
    size = geometry.root_bytes
    if geometry.start_level == 0 and fmt.roots > 1:
        size = int(fmt.tables[1].bytes)
    if fmt.plain:
        size = min(size, fmt.granule)
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
