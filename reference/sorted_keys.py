"""Numbers from 0 in ascending order, of which there may be many: changing them costs little.

They are kept in chunks, so that a number that comes or goes moves no more than a chunk.
"""

from bisect import bisect_left, bisect_right
from typing import Final

HALF_CHUNK: Final = 256


class SortedKeys:
    """A set of numbers in ascending order."""

    def __init__(self) -> None:
        # No chunk is empty; tops[i] is the largest number of chunks[i].
        self.chunks: list[list[int]] = []
        self.tops: list[int] = []
        self.count: int = 0

    def __len__(self) -> int:
        return self.count

    def add(self, key: int) -> None:
        """Put a number in; it is not there yet."""
        self.count += 1
        if not self.chunks:
            self.chunks.append([key])
            self.tops.append(key)
            return
        place = min(bisect_left(self.tops, key), len(self.chunks) - 1)
        chunk = self.chunks[place]
        chunk.insert(bisect_left(chunk, key), key)
        self.tops[place] = chunk[-1]
        if len(chunk) > 2 * HALF_CHUNK:
            rest = chunk[HALF_CHUNK:]
            del chunk[HALF_CHUNK:]
            self.tops[place] = chunk[-1]
            self.chunks.insert(place + 1, rest)
            self.tops.insert(place + 1, rest[-1])

    def remove(self, key: int) -> None:
        """Take a number out, which is there."""
        self.count -= 1
        place = bisect_left(self.tops, key)
        chunk = self.chunks[place]
        del chunk[bisect_left(chunk, key)]
        if chunk:
            self.tops[place] = chunk[-1]
        else:
            del self.chunks[place]
            del self.tops[place]

    def at_or_before(self, key: int) -> int:
        """The largest number that is not above ``key``; -1 if there is none."""
        place = bisect_left(self.tops, key)
        if place < len(self.chunks):
            chunk = self.chunks[place]
            index = bisect_right(chunk, key)
            if index > 0:
                return chunk[index - 1]
        return self.tops[place - 1] if place > 0 else -1

    def at_or_after(self, key: int) -> int:
        """The least number that is not below ``key``; -1 if there is none."""
        place = bisect_left(self.tops, key)
        if place == len(self.chunks):
            return -1
        chunk = self.chunks[place]
        return chunk[bisect_left(chunk, key)]

    def between(self, first: int, last: int) -> list[int]:
        """The numbers from ``first`` to ``last``, ascending."""
        found: list[int] = []
        place = bisect_left(self.tops, first)
        while place < len(self.chunks):
            chunk = self.chunks[place]
            start, end = bisect_left(chunk, first), bisect_right(chunk, last)
            found.extend(chunk[start:end])
            if end < len(chunk):
                break
            place += 1
        return found

    def nth(self, number: int) -> int:
        """The number at place ``number``, from 0.

        Raises:
            IndexError: there are not so many.
        """
        left = number
        for chunk in self.chunks:
            if left < len(chunk):
                return chunk[left]
            left -= len(chunk)
        raise IndexError(f"number is {number}; allowed are 0 to {self.count - 1}")

    def clear(self) -> None:
        """Take all out."""
        self.chunks.clear()
        self.tops.clear()
        self.count = 0
