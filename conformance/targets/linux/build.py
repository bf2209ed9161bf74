"""Builds a unit's library: the kernel's own build, our fake kernel, one link.

The steps, each in a function below:

1. configure the kernel once (``kconfig``);
2. build the wanted objects through the kernel's build, with flags that make the
   compiler announce every load and store;
3. ask the tree what it has (``probes``), for our files;
4. compile our files with the very command that built a neighbouring object;
5. link the kernel half into one object, keep only our names visible, and make
   stubs for functions that nobody defines;
6. link that with the host half into a shared library.

A library is kept with a record of everything that it was made from. It is used
again as long as nothing of that changed; after an edit, the kernel's build is
asked, which compiles what depends on it.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from conformance.targets.linux import kconfig, probes, shadow
from conformance.targets.linux.cache import CACHE_VARIABLE, cache_folder, keep_newest, locked
from conformance.targets.linux.elf import ElfFile
from conformance.targets.linux.errors import BuildError
from conformance.targets.linux.operations_header import HEADER, operations_header
from conformance.targets.linux.toolchain import (
    Progress,
    check_host,
    compiler_identity,
    run,
    silent,
)
from conformance.targets.linux.tree import KernelTree
from conformance.targets.linux.units import (
    EXPORTS,
    NATIVE_HOST,
    NATIVE_KERNEL,
    Unit,
    source_of,
)
from reference import trace

NATIVE = Path(__file__).parent / "native"
"""Our C sources."""

RECORD_SCHEMA = 1
_KEPT_LIBRARIES = 6
_KEPT_BUILDS = 8

_WATCH = (
    "-fsanitize=thread",
    "--param=tsan-distinguish-volatile=1",
    "--param=tsan-instrument-func-entry-exit=0",
)
_CODE = (
    "-fPIC",
    "-mcmodel=small",
    "-O2",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-omit-frame-pointer",
    "-ftrivial-auto-var-init=pattern",
    # Functions stay what they are in the source, so that the place of an event has a telling
    # name, and the same one whatever compiler is used. What is declared inline still is.
    "-fno-inline-functions",
    "-fno-inline-small-functions",
    "-fno-inline-functions-called-once",
    "-fno-partial-inlining",
    "-fno-optimize-sibling-calls",
)
_STRICT = (
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
)
_HOST_FLAGS = (
    "-std=gnu11", "-O2", "-fPIC", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-stack-protector",
    "-U_FORTIFY_SOURCE", "-D_GNU_SOURCE", "-pthread",
)  # fmt: skip
_CALLED_BY_HOST = ("mmu_kernel_facts", "mmu_kernel_start")
_BY_LINKER = frozenset(
    {"_GLOBAL_OFFSET_TABLE_", "__start_mmu_state", "__stop_mmu_state", "__ehdr_start", "_end"}
)


def build(tree: KernelTree, unit: Unit, progress: Progress = silent) -> Path:
    """The library of ``unit`` from ``tree``: an earlier one if nothing changed, else a new one.

    Two processes that ask at once build once. ``progress`` is told what is done when
    something has to be built (about 20 seconds at first, a few after an edit).

    Raises:
        TargetUnavailable: this host cannot build or run it, or a tool is missing.
        BuildError: a step failed.
    """
    work = _Work(tree, unit, progress)
    found = work.current()
    if found is not None:
        return found
    check_host()
    with locked(work.folder.with_name(f"{work.folder.name}.lock")):
        found = work.current()
        return found if found is not None else work.make()


def answers_of(tree: KernelTree, unit: Unit, progress: Progress = silent) -> dict[str, bool | None]:
    """What ``tree`` answers to each probe; the first object of ``unit`` is built to ask.

    Raises:
        TargetUnavailable: this host cannot build it, or a tool is missing.
        BuildError: a step failed, or a probe cannot be decided.
    """
    check_host()
    work = _Work(tree, unit, progress)
    with locked(work.folder.with_name(f"{work.folder.name}.lock")):
        work.own.mkdir(parents=True, exist_ok=True)
        source = work.source()
        work.configure(source)
        work.make_objects(source, work.objects[:1])
        return probes.ask(tree.path, work.try_lines)


class _Work:
    """One library to be made, and the folders for it."""

    def __init__(self, tree: KernelTree, unit: Unit, progress: Progress) -> None:
        self.tree = tree
        self.unit = unit
        self.progress = progress
        newer = [name for name in unit.newer if (tree.path / source_of(name)).is_file()]
        self.objects: tuple[str, ...] = (*unit.objects, *newer)
        forced = (NATIVE / "forced.h").read_text(encoding="utf-8")
        identity = (
            f"{tree.path}\n{tree.version}\n{kconfig.fragment(unit)}\n{_CODE}{_WATCH}\n{forced}"
        )
        key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        self.folder: Path = cache_folder() / "builds" / f"{tree.version}-{key}"
        self.kbuild: Path = self.folder / "kbuild"
        self.forced: Path = self.folder / "forced.h"
        self.harness: str = _harness_identity(unit)
        # Different versions of this distribution do not build over each other's results.
        self.own: Path = self.folder / "units" / f"{unit.name}-{self.harness[:12]}"
        self.record: Path = self.own / "record.json"

    # -- is the last one still right? --------------------------------------------------------

    def current(self) -> Path | None:
        """The library that was built last, unless something that it was made from changed."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            if record["schema"] != RECORD_SCHEMA or record["compiler"] != compiler_identity():
                return None
            for path, size, changed in record["inputs"]:
                found = os.stat(path)
                if found.st_size != size or found.st_mtime_ns != changed:
                    return None
            library = self.own / str(record["library"])
            if not library.is_file():
                return None
            with contextlib.suppress(OSError):  # a cache that can only be read will do
                os.utime(self.own)
                os.utime(self.folder)
            return library
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_record(self, library: Path, started: int) -> None:
        inputs = []
        for path in sorted(self.inputs()):
            found = os.stat(path)
            changed = found.st_mtime_ns
            if changed >= started and not path.startswith(str(self.folder)):
                changed = 0  # edited while we were building: not to be trusted
            inputs.append((path, found.st_size, changed))
        record = {
            "schema": RECORD_SCHEMA,
            "compiler": compiler_identity(),
            "library": library.name,
            "inputs": inputs,
        }
        unfinished = self.record.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(record), encoding="utf-8")
        unfinished.replace(self.record)

    def inputs(self) -> set[str]:
        """Every file of the tree that the library was made from, as far as make would know."""
        found: set[str] = set()
        for name in self.objects:
            path = self.kbuild / name
            text = path.with_name(f".{path.name}.cmd").read_text(encoding="utf-8")
            text = re.sub(r"\$\(wildcard [^)]*\)", "", text.partition("deps_")[2])
            found.update(word for word in re.split(r"[\s\\]+", text) if word.endswith((".h", ".c")))
            source = _command_of(path)[-1]
            found.add(source)
            found.update(str(Path(source).parent / part) for part in ("Makefile", "Kconfig"))
        for path in self.own.glob("*.d"):
            found.update(_dependencies(path))
        top = self.tree.path
        named = ("Makefile", "Kconfig", "arch/um/Makefile", *probes.looked_at())
        found.update(str(top / part) for part in named)
        absolute = {os.path.normpath(self.kbuild / word) for word in found}
        return {path for path in absolute if os.path.isfile(path) and not self.is_ours(path)}

    def is_ours(self, path: str) -> bool:
        """Whether a file is covered by the harness's identity, or made from it."""
        ours = (NATIVE, self.unit.native, self.own)
        return path.startswith(tuple(f"{folder}{os.sep}" for folder in ours))

    # -- making it -------------------------------------------------------------------------

    def make(self) -> Path:
        """Build the library; the caller holds the lock."""
        if re.search(r"[\s:%$#]", str(self.folder)):
            raise BuildError(
                f"the cache folder {str(self.folder)!r} has a character that make cannot "
                f"handle; set {CACHE_VARIABLE} to a folder without blanks and the like"
            )
        started = time.time_ns()
        self.own.mkdir(parents=True, exist_ok=True)
        self.record.unlink(missing_ok=True)
        source = self.source()
        self.configure(source)
        self.make_objects(source, self.objects)
        self.check_hooks()
        self.ask_tree()
        kernel, host = self.compile_own()
        library = self.link(kernel, host)
        self.write_record(library, started)
        keep_newest(self.own.parent, _KEPT_LIBRARIES)
        keep_newest(self.folder.parent, _KEPT_BUILDS)
        return library

    def source(self) -> Path:
        """The tree to build from: the named one, or a shadow of it."""
        if not shadow.is_built_in_place(self.tree.path):
            return self.tree.path
        self.progress(f"{self.tree.path} was built in place: building from links to its sources")
        stand_in = self.folder / "source"
        shadow.make_shadow(self.tree.path, stand_in)
        return stand_in

    def configure(self, source: Path, again: bool = False) -> None:
        """Configure, unless that was done for this source and compiler."""
        done = self.folder / "configured"
        identity = f"{source}\n{compiler_identity()}\n"
        if not again and done.is_file() and done.read_text(encoding="utf-8") == identity:
            return
        self.progress(f"configuring linux {self.tree.version}")
        done.unlink(missing_ok=True)
        shutil.rmtree(self.kbuild, ignore_errors=True)
        self.kbuild.mkdir(parents=True)
        kconfig.configure(source, self.kbuild, self.unit)
        kconfig.check_options(self.kbuild, self.unit, self.tree.version)
        done.write_text(identity, encoding="utf-8")

    def make_objects(self, source: Path, objects: Sequence[str]) -> None:
        """Have the kernel's build bring ``objects`` up to date."""
        _write_if_changed(self.forced, (NATIVE / "forced.h").read_text(encoding="utf-8"))
        flags = " ".join((*_CODE, *_WATCH, "-include", str(self.forced)))
        command = [
            "make", "-C", str(source), f"O={self.kbuild}", "ARCH=um", f"-j{os.cpu_count() or 1}",
            f"KCFLAGS={flags}", *objects,
        ]  # fmt: skip
        self.progress(f"building {len(objects)} kernel objects for {self.unit.name}")
        try:
            run("building kernel objects", command, self.kbuild)
        except BuildError as error:
            # Options that came or went since the configuration make kbuild ask questions.
            if "input/output is redirected" not in error.output:
                raise
            self.configure(source, again=True)
            run("building kernel objects", command, self.kbuild)
        kconfig.check_options(self.kbuild, self.unit, self.tree.version)

    def check_hooks(self) -> None:
        """Make sure that what has to be seen of each object is seen.

        Raises:
            BuildError: an object does not use a hook.
        """
        for name, hooks in self.unit.seen.items():
            used = ElfFile(self.kbuild / name).undefined()
            unseen = [hook for hook in hooks if used.isdisjoint(hook.split("|"))]
            if unseen:
                raise BuildError(
                    f"{name} of linux {self.tree.version} was built without "
                    f"{', '.join(unseen).replace('|', ' or ')}: its compare-exchanges, barriers, "
                    "accesses or warnings would not be seen, so it is not used"
                )

    def ask_tree(self) -> None:
        """Write the header that says what the tree has: see ``probes``.

        Raises:
            BuildError: a probe cannot be decided.
        """
        answers = probes.ask(self.tree.path, self.try_lines)
        _write_if_changed(self.folder / probes.HEADER, probes.features_header(answers))

    def try_lines(self, code: str) -> str:
        """What the compiler says to ``code``, compiled as a file of the kernel."""
        source = self.own / "probes.c"
        source.write_text(code, encoding="ascii")
        plain = _without_watching(_command_of(self.kbuild / self.objects[0])[:-1])
        try:
            command = [*plain, "-w", "-fmax-errors=0", "-fsyntax-only", str(source)]
            return run("asking the tree what it has", command, self.kbuild)
        except BuildError as error:
            return error.output

    def compile_own(self) -> tuple[list[Path], list[Path]]:
        """Compile our files: the objects of the kernel half in link order, and of the host half."""
        self.progress("compiling the harness")
        _write_if_changed(self.own / "vocabulary.h", vocabulary(self.unit.events))
        _write_if_changed(self.own / HEADER, operations_header(self.unit.operations))
        recorded = _command_of(self.kbuild / self.objects[0])[:-1]
        plain = _without_watching(recorded)
        jobs: list[tuple[Path, list[str]]] = []

        def add(folder: Path, name: str, command: Sequence[str], flags: Iterable[str]) -> Path:
            # Files of a system do not get in the way of the harness's.
            short = name.replace("/", "-").removesuffix(".c")
            target = self.own / (f"{short}.o" if folder is NATIVE else f"unit-{short}.o")
            output = [f"-Wp,-MMD,{target.with_suffix('.d')}", "-c", "-o", str(target)]
            included = [f"-iquote{NATIVE}", f"-I{self.own}", f"-I{self.folder}"]
            jobs.append((target, [*command, *flags, *included, *output, str(folder / name)]))
            return target

        glue = [add(self.unit.native, name, plain, _STRICT) for name in self.unit.glue]
        glue += [add(NATIVE, name, recorded, _STRICT) for name in self.unit.watched]
        fake = [add(NATIVE, name, plain, _STRICT) for name in NATIVE_KERNEL]
        host = [add(NATIVE, name, ["gcc"], _HOST_FLAGS) for name in NATIVE_HOST]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for done in [pool.submit(self.compile, *job) for job in jobs]:
                done.result()
        objects = [self.kbuild / name for name in self.objects]
        return [*glue, *objects, *fake], host

    def compile(self, target: Path, command: list[str]) -> None:
        """Compile one of our files, unless that was done and nothing that it includes changed."""
        done = target.with_suffix(".command")
        text = shlex.join(command)
        try:
            built = target.stat().st_mtime_ns
            if done.read_text(encoding="utf-8") == text and all(
                os.stat(self.kbuild / path).st_mtime_ns < built
                for path in _dependencies(target.with_suffix(".d"))
            ):
                return
        except OSError:
            pass  # something is missing: compile
        done.unlink(missing_ok=True)
        run("compiling the harness", command, self.kbuild)
        done.write_text(text, encoding="utf-8")

    def link(self, kernel: Sequence[Path], host: Sequence[Path]) -> Path:
        """Link everything; the first definition of a name wins: glue, kernel, fake kernel."""
        self.progress("linking")
        exports = [*EXPORTS, *self.unit.calls]
        whole = self.own / "kernel.o"
        roots = [*self.unit.calls, *_CALLED_BY_HOST]
        run(
            "linking the kernel half",
            [
                "ld", "-m", "elf_x86_64", "-r", "--gc-sections", "-z", "muldefs",
                "-T", str(NATIVE / "sections.lds"), *(f"--undefined={name}" for name in roots),
                *(f"--wrap={name}" for name in self.unit.wrapped),
                "-o", str(whole), *map(str, kernel),
            ],
            self.own,
        )  # fmt: skip
        names = self.own / "kept-names"
        names.write_text("".join(f"{name}\n" for name in roots), encoding="ascii")
        run(
            "hiding kernel names",
            ["objcopy", f"--keep-global-symbols={names}", str(whole)],
            self.own,
        )
        stubs = self.make_stubs(whole, host)
        versions = self.own / "exports.map"
        versions.write_text(
            "{ global: " + "".join(f"{name}; " for name in exports) + "local: *; };\n",
            encoding="ascii",
        )
        unfinished = self.own / "library.unfinished"
        run(
            "linking the library",
            [
                "gcc", "-shared", "-pthread", "-o", str(unfinished), str(whole), str(stubs),
                *map(str, host), "-Wl,-z,defs", "-Wl,-Bsymbolic", "-Wl,--build-id=none",
                f"-Wl,--version-script={versions}", "-lrt",
            ],
            self.own,
        )  # fmt: skip
        # A new name for new content: a process that has the old one loaded keeps it.
        digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()[:12]
        library = self.own / f"library-{digest}.so"
        for old in self.own.glob("library-*.so"):
            old.unlink()
        return unfinished.rename(library)

    def make_stubs(self, whole: Path, host: Sequence[Path]) -> Path:
        """Define functions that nobody defines: each says its name and ends the call.

        Raises:
            BuildError: something that may be data is not defined.
        """
        kernel = ElfFile(whole)
        defined = set().union(*(ElfFile(path).defined() for path in host)) | _BY_LINKER
        missing = kernel.undefined() - defined
        unknown = sorted(missing - kernel.called())
        if unknown:
            raise BuildError(
                f"linux {self.tree.version}: kernel code uses {', '.join(unknown)}, which the "
                "harness does not define and which may be data; define it in native/kernel"
            )
        source = self.own / "stubs.c"
        lines = ["void mmu_missing(const char *name) __attribute__((noreturn));"]
        for number, name in enumerate(sorted(missing)):
            lines.append(f'void stub_{number}(void) __asm__("{name}");')
            lines.append(f'void stub_{number}(void) {{ mmu_missing("{name}"); }}')
        source.write_text("\n".join(lines) + "\n", encoding="ascii")
        target = source.with_suffix(".o")
        command = ["gcc", *_HOST_FLAGS, "-c", "-o", str(target), str(source)]
        run("compiling stubs", command, self.own)
        return target


_IN_EVENTS = ("SCOPE_", "CAUSE_", "REFS_", "MESSAGE_", "BARRIER_")
"""Numbers inside events that all systems share."""


def vocabulary(events: Sequence[ModuleType] = ()) -> str:
    """The C header with the numbers of events, so that both sides agree.

    Those of ``reference.trace``, and those of the systems' ``events`` modules.
    """
    lines = [
        "/* Made from reference/trace.py and the system's events by the build. */",
        "#ifndef MMU_VOCABULARY_H",
        "#define MMU_VOCABULARY_H",
    ]
    for module in (trace, *events):
        for name, value in sorted(vars(module).items()):
            if not (name.isupper() and isinstance(value, int)):
                continue
            is_kind = trace.KINDS.get(value, ("",))[0].upper().replace("-", "_") == name
            if is_kind or module is not trace or name.startswith(_IN_EVENTS):
                lines.append(f"#define MMU_{name} {value}")
    lines.append("#endif")
    return "\n".join(lines) + "\n"


def _harness_identity(unit: Unit) -> str:
    """A text that changes with anything of ours that the library is made from."""
    digest = hashlib.sha256()
    for folder in (NATIVE, unit.native):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    for module in (Path(__file__), Path(probes.__file__)):
        digest.update(module.read_bytes())
    made = vocabulary(unit.events) + operations_header(unit.operations)
    digest.update(repr(unit).encode() + made.encode())
    return digest.hexdigest()


def _dependencies(path: Path) -> list[str]:
    """The files in a list of dependencies that the compiler wrote."""
    text = path.read_text(encoding="utf-8").partition(":")[2]
    return [word for word in re.split(r"[\s\\]+", text) if word]


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _command_of(target: Path) -> list[str]:
    """The words of the compiler's command that kbuild recorded for ``target``.

    What depends on the file is taken out: output, dependencies, ``-c``. The source is
    the last word.

    Raises:
        BuildError: there is no such record, or it is not understood.
    """
    record = target.with_name(f".{target.name}.cmd")
    try:
        line = record.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        raise BuildError(f"the kernel's build left no command in {record}") from None
    found = re.match(r"(?:saved)?cmd_\S+ := (.*)$", line)
    if not found:
        raise BuildError(f"the command in {record} is not understood: {line[:100]}")
    words = shlex.split(found[1].replace("$$", "$").replace("$(pound)", "#"))
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "-o":
            skip = True
        elif word != "-c" and not word.startswith("-Wp,-MMD"):
            kept.append(word)
    if len(kept) < 2 or not kept[-1].endswith(".c"):
        raise BuildError(f"the command in {record} is not understood: {line[:100]}")
    return kept


def _without_watching(words: Sequence[str]) -> list[str]:
    """The command without announcements of accesses and without the forced header."""
    kept: list[str] = []
    for word in words:
        if word in _WATCH:
            continue
        if word.endswith("/forced.h") and kept and kept[-1] == "-include":
            kept.pop()
            continue
        kept.append(word)
    return kept
