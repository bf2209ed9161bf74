"""Files that are whole or not there, and the same bytes for the same data.

JSON is written in one stable form: keys in the order in which the data gives
them, an object or a list on one line where it fits, and a newline at the end.
So two runs that found the same write the same bytes, and a difference between
two files reads well.
"""

import json
import os
import tempfile
from pathlib import Path

LINE_LENGTH = 160
"""Up to this many characters, indentation included, an object or a list stays on one line."""


def json_text(data: object) -> str:
    """``data`` (dicts with string keys, lists, tuples, str, int, finite float, bool, None).

    Raises:
        ValueError: something that JSON cannot say, a number that is not finite, or a key that
            is not a string.
    """
    return _written(data, 0, 0) + "\n"


def _written(data: object, indent: int, taken: int) -> str:
    """``data`` at depth ``indent``; ``taken`` columns of its first line are already used."""
    if isinstance(data, dict):
        for key in data:
            if not isinstance(key, str):
                raise ValueError(f"key is {key!r}; allowed are strings")
    elif not isinstance(data, list | tuple):
        return _on_one_line(data)
    if not data or not any(isinstance(part, dict | list | tuple) and part for part in _parts(data)):
        line = _on_one_line(data)
        if indent + taken + len(line) <= LINE_LENGTH:
            return line
    inner = " " * (indent + 1)
    if isinstance(data, dict):
        lines = []
        for key, value in data.items():
            name = _on_one_line(key) + ": "
            lines.append(inner + name + _written(value, indent + 1, len(name)))
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    return (
        "[\n"
        + ",\n".join(inner + _written(value, indent + 1, 0) for value in data)
        + "\n"
        + " " * indent
        + "]"
    )


def _parts(data: dict[str, object] | list[object] | tuple[object, ...]) -> list[object]:
    return list(data.values()) if isinstance(data, dict) else list(data)


def _on_one_line(data: object) -> str:
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False)
    except TypeError:
        raise ValueError(
            f"data is {data!r}; allowed are objects, lists, strings, finite numbers, true, "
            "false and null"
        ) from None


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, all of it or nothing.

    The text goes to a new file in the same folder, which then takes the name:
    whoever reads ``path`` sees the old file or the new one. Folders are made.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; give what open() would.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def write_json(path: str | Path, data: object) -> None:
    """Write ``data`` in the stable form, all of it or nothing.

    Raises:
        ValueError: something that JSON cannot say; nothing is written then.
        OSError: the folder cannot be written.
    """
    write_text(path, json_text(data))


def read_json(path: str | Path, allowed: str) -> object:
    """The data of a JSON file; ``allowed`` says in the message what the file should be.

    Raises:
        ValueError: the file is not text or not JSON, for example because it was cut off.
        OSError: the file cannot be read.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is not UTF-8 text"
    except json.JSONDecodeError as error:
        if not content.strip():
            what = "it is empty"
        elif error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
            what = f"it ends in the middle, at line {error.lineno} column {error.colno}"
        else:
            what = f"line {error.lineno} column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        what = str(error)
    raise ValueError(f"{path} is not JSON ({what}); allowed are {allowed}")
