"""Reads the little of x86-64 ELF files that the build needs: symbols and relocations."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SYMTAB, _RELA = 2, 4
_GLOBAL, _WEAK = 1, 2
_FUNCTION = 2
_PLT32 = 4


@dataclass(frozen=True, slots=True)
class Symbol:
    """One entry of the symbol table.

    ``value``: offset from the start of the image in a shared library. ``size``: bytes.
    ``defined``: it is in this file. ``shared``: other files see it (global or weak).
    """

    name: str
    value: int
    size: int
    defined: bool
    shared: bool
    is_function: bool


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int


class ElfFile:
    """An object file or shared library, read whole.

    Raises:
        ValueError: it is not a 64-bit little-endian ELF file.
    """

    def __init__(self, path: Path) -> None:
        self.data: bytes = path.read_bytes()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian ELF file")
        (start,) = struct.unpack_from("<Q", self.data, 0x28)
        size, count = struct.unpack_from("<HH", self.data, 0x3A)
        self._sections = [self._section(start + size * index) for index in range(count)]
        self.symbols: list[Symbol] = self._symbols()

    def _section(self, at: int) -> _Section:
        _, kind, _, _, offset, size, link = struct.unpack_from("<IIQQQQI", self.data, at)
        return _Section(kind, offset, size, link)

    def _name(self, table: _Section, at: int) -> str:
        start = table.offset + at
        return self.data[start : self.data.index(b"\0", start)].decode()

    def _symbols(self) -> list[Symbol]:
        for section in self._sections:
            if section.kind != _SYMTAB:
                continue
            names = self._sections[section.link]
            found = []
            raw = self.data[section.offset : section.offset + section.size]
            for name, info, _, index, value, size in struct.iter_unpack("<IBBHQQ", raw):
                found.append(
                    Symbol(
                        self._name(names, name),
                        value,
                        size,
                        index != 0,
                        info >> 4 in (_GLOBAL, _WEAK),
                        info & 0xF == _FUNCTION,
                    )
                )
            return found
        return []

    def defined(self) -> set[str]:
        """Names that other files can use from this one."""
        return {symbol.name for symbol in self.symbols if symbol.defined and symbol.shared}

    def undefined(self) -> set[str]:
        """Names that this file needs from others.

        A name that stands in the symbol table only is not needed: the linker leaves those
        that were used by what it dropped.
        """
        used = (self.symbols[info >> 32] for info in self._relocations())
        return {symbol.name for symbol in used if not symbol.defined and symbol.name}

    def called(self) -> set[str]:
        """Names that are the target of a call or jump, and so are functions."""
        return {
            self.symbols[info >> 32].name
            for info in self._relocations()
            if info & 0xFFFFFFFF == _PLT32
        }

    def _relocations(self) -> Iterator[int]:
        """Symbol number (upper half) and type (lower half) of each relocation."""
        for section in self._sections:
            if section.kind == _RELA:
                raw = self.data[section.offset : section.offset + section.size]
                for _, info, _ in struct.iter_unpack("<QQq", raw):
                    yield info
