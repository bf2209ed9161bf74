"""The command line: ``mmu-conformance``."""

import json
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import click

VIOLATIONS = 1
USAGE = 2
UNBUILDABLE = 125
"""What git bisect run takes for a commit that cannot be tried."""
NO_VERDICT = 128
"""What ends git bisect run."""
INTERRUPTED = 130

HELP: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What click, from 8.2 on, raises where a command group stands alone."""

Command = TypeVar("Command", bound=Callable[..., Any])


def refuse(message: object, code: int = USAGE) -> NoReturn:
    """End with one message and an exit code, that for usage and environment if no other."""
    click.echo(f"mmu-conformance: {message}", err=True)
    sys.exit(code)


class Group(click.Group):
    """Checks first where our packages come from; wrong usage is one line and exit code 2."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read what stands before the command."""
        from conformance.origin import InstallationError, check_installation

        try:
            check_installation()
        except InstallationError as error:
            refuse(error)
        with _usage_in_one_line():
            return super().make_context(info_name, args, parent, **extra)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called ``cmd_name``."""
        command = super().get_command(ctx, cmd_name)
        if command is None and not cmd_name.startswith("-") and not ctx.resilient_parsing:
            refuse(f"command is {cmd_name!r}; allowed are {', '.join(self.list_commands(ctx))}")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _usage_in_one_line():
            return super().invoke(ctx)


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    try:
        yield
    except HELP:
        raise
    except click.NoSuchOption as error:
        allowed = ""
        if error.ctx is not None:
            names = [
                name
                for parameter in error.ctx.command.get_params(error.ctx)
                if isinstance(parameter, click.Option)
                for name in parameter.opts
            ]
            allowed = f"; allowed are {', '.join(names)}"
        refuse(f"option is {error.option_name!r}{allowed}")
    except click.UsageError as error:
        refuse(" ".join(error.format_message().split()))
    except KeyboardInterrupt:
        # Before or after the run itself, which tells what it has.
        click.echo("mmu-conformance: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception:
        # Python would end with 1, which stands for violations.
        traceback.print_exc()
        refuse("the error above is one of a target of your own, or of this program")


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    import conformance
    from conformance.targets.linux.tree import describe
    from reference.build_check import build_info

    build = build_info()
    model = f"compiled by mypyc {build.mypyc or '?'}" if build.compiled else "interpreted"
    click.echo(f"mmu-conformance {conformance.__version__}")
    click.echo(f"model: {model}")
    click.echo(f"kernel tree of linux: targets: {describe()}")
    ctx.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True,
    help="Say how the model was built and which kernel tree would be used.",
)  # fmt: skip
def main() -> None:
    """Judge code that manages GPU and IOMMU page tables."""


kernel_option = click.option(
    "--kernel", metavar="PATH", help="Kernel tree or tarball for linux: targets; never written to."
)


# -- run --------------------------------------------------------------------------------------


@main.command()
@click.argument("systems", metavar="[SYSTEM]...", nargs=-1)
@click.option(
    "--target", default="reference", show_default=True, metavar="T", help="What to judge."
)
@click.option("--profile", default="ci", show_default=True, metavar="P", help="ci, dev, nightly.")
@click.option("--examples", type=int, metavar="N", help="Examples of each system, in total.")
@click.option("--steps", type=int, metavar="N", help="Steps of each example.")
@click.option("--seed", type=int, metavar="S", help="Seed: the same seed is the same run.")
@click.option("-n", "--workers", default="2", show_default=True, metavar="WORKERS",
              help="Processes; 0 works in this one. Does not change what is found.")  # fmt: skip
@click.option("--known", multiple=True, metavar="FILE", help="Known failures (repeatable).")
@click.option("--report-dir", metavar="DIR", help="Write result.json, junit.xml, counterexamples.")
@click.option("--database", metavar="DIR", help="Hypothesis example database to use and fill.")
@click.option("--strict", is_flag=True, help="A rule that was never exercised is an error.")
@click.option("--bisect", is_flag=True, help="Exit codes for git bisect run: 125 where the target "
              "cannot be built, 128 for what else is no verdict.")  # fmt: skip
@kernel_option
def run(bisect: bool, **options: Any) -> None:
    """Run the suite on a target, for all SYSTEMs that it speaks or those given.

    Exit code 0: every rule held. 1: violations. 2: usage or environment. 130: interrupted.
    """
    try:
        _judge(unbuildable=UNBUILDABLE if bisect else USAGE, **options)
    except SystemExit as end:
        # For git bisect 2 would be a commit that is bad.
        sys.exit(NO_VERDICT if bisect and end.code == USAGE else end.code)


def _judge(
    systems: tuple[str, ...],
    target: str,
    profile: str,
    examples: int | None,
    steps: int | None,
    seed: int | None,
    workers: str,
    known: tuple[str, ...],
    report_dir: str | None,
    database: str | None,
    strict: bool,
    kernel: str | None,
    unbuildable: int,
) -> NoReturn:
    """The run; ends with an exit code, ``unbuildable`` where the target cannot be had."""
    from conformance.discovery import system_by_name
    from conformance.known_failures import known_file, read_known
    from conformance.plugin import check_folder
    from conformance.profiles import SHARDS, profile_by_name
    from conformance.registry import default_systems

    try:
        chosen = profile_by_name(profile)
        names = list(dict.fromkeys(systems or default_systems(target)))
        for name in names:
            system_by_name(name)
        _check_number("examples", examples)
        _check_number("steps", steps)
        if seed is not None and not 0 <= seed < 1 << 64:
            raise ValueError(f"seed is {seed}; allowed are numbers from 0 to {2**64 - 1}")
        processes = _processes(workers, SHARDS)
        for path in known:
            read_known(known_file(path))
        for name, folder in (("report-dir", report_dir), ("database", database)):
            if folder is not None:
                check_folder(name, folder)
        _check_kernel(target, kernel)
    except ValueError as error:
        refuse(error)
    for name in names:
        _prepare(target, kernel, name, unbuildable)
    with tempfile.TemporaryDirectory(prefix="mmu-conformance-") as spool:
        arguments = [
            "--pyargs", "conformance.test_conformance", "-p", "no:cacheprovider",
            "-p", "no:terminal", "-p", "conformance.plugin",
            "--noconftest", "--import-mode=importlib",
            f"--rootdir={spool}", "-c", str(_empty_configuration(spool)),
            # Not in pytest's usual place: there it would clear away what others left.
            f"--basetemp={spool}/pytest",
            f"--mmu-target={target}", f"--mmu-profile={profile}", f"--mmu-spool={spool}",
            *(f"--mmu-system={name}" for name in names),
            *(f"--mmu-known={path}" for path in known),
            *_given("--mmu-examples", examples), *_given("--mmu-steps", steps),
            *_given("--mmu-seed", seed), *_given("--mmu-kernel", kernel),
            *_given("--mmu-database", database), *_given("--mmu-report-dir", report_dir),
            *(["-p", "xdist.plugin", "-n", str(processes)] if processes else ()),
        ]  # fmt: skip
        total = (examples or chosen.examples) * len(names)
        code, closing, broken = _run_pytest(arguments, Path(spool), total, f"{target}")
    for trouble in dict.fromkeys(broken):
        click.echo(trouble, err=True)
    if closing is None:
        refuse("the run broke off inside the suite; what pytest said is above")
    click.echo(closing.text, nl=False)
    if closing.unwritten:
        refuse(closing.unwritten)
    if report_dir:
        click.echo(f"Reports are in {report_dir}.")
    if code == INTERRUPTED:
        sys.exit(INTERRUPTED)
    if broken or not closing.result.complete:
        refuse("the suite itself failed in a part of the run; see above")
    vacuous = closing.result.vacuous
    if strict and vacuous:
        click.echo(f"mmu-conformance: --strict: never exercised: {', '.join(vacuous)}", err=True)
    sys.exit(VIOLATIONS if closing.failed or (strict and vacuous) else 0)


def _check_kernel(target: str, kernel: str | None) -> None:
    if kernel is not None and not target.startswith("linux:"):
        raise ValueError(f"--kernel is {kernel!r}, with target {target!r}; allowed is linux:...")


def _check_number(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name} is {value}; allowed are numbers from 1")


def _processes(workers: str, most: int) -> int:
    if workers == "auto":
        return min(os.cpu_count() or 1, most)
    if not workers.isdecimal():
        raise ValueError(f"-n is {workers!r}; allowed are numbers from 0, and auto")
    return min(int(workers), most)


def _given(option: str, value: object) -> list[str]:
    return [] if value is None else [f"{option}={value}"]


def _empty_configuration(spool: str) -> Path:
    """A pytest configuration of our own, so that none of the user's folder is read."""
    path = Path(spool) / "pytest.ini"
    path.write_text("[pytest]\naddopts =\n", encoding="utf-8")
    return path


def _prepare(target: str, kernel: str | None, system: str, unbuildable: int) -> None:
    """Make the target of a system once, so that what is missing is said before anything starts.

    Ends with ``unbuildable`` where it cannot be built here.
    """
    from conformance.registry import make_target
    from conformance.targets.linux.errors import BuildError, HarnessError, KernelTreeError
    from conformance.targets.protocol import TargetUnavailable

    def say(text: str) -> None:
        click.echo(text, err=True)

    try:
        make_target(target, kernel, say, system).close()
    except (TargetUnavailable, KernelTreeError, BuildError, HarnessError) as error:
        refuse(error, unbuildable)
    except ValueError as error:
        refuse(error)


@contextmanager
def _pytest_of_our_own() -> Iterator[None]:
    """Keep what the user's environment says to pytest, and other plugins, out of the run."""
    ours = {"PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    before = {name: os.environ.get(name) for name in ours}
    _set_environment(ours)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _run_pytest(
    arguments: list[str], spool: Path, total: int, title: str
) -> tuple[int, Any, list[str]]:
    """Run pytest in this process: its exit code (130 for an interrupt), and the closing."""
    import pytest

    from conformance.plugin import BROKEN, CLOSING_OF_RUN

    CLOSING_OF_RUN.clear()
    BROKEN.clear()
    with _pytest_of_our_own(), Progress(spool, total, title):
        code = int(pytest.main(arguments))
    if code == pytest.ExitCode.INTERRUPTED:
        code = INTERRUPTED
    return code, CLOSING_OF_RUN[0] if CLOSING_OF_RUN else None, BROKEN


class Progress:
    """Shows how far the shards are, from what they leave in the spool."""

    def __init__(self, spool: Path, total: int, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._spool = spool
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[found]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=total, found="")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._bar.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._console.is_terminal:
            self._bar.stop()

    def _watch(self) -> None:
        said = 0
        while not self._stop.wait(0.5):
            examples, found = self._look()
            shown = f"{found} found" if found else ""
            self._bar.update(self._task, completed=examples, found=shown)
            if not self._console.is_terminal and self._bar.tasks[self._task].elapsed:
                # Not a terminal: a line now and then instead of a bar.
                elapsed = int(self._bar.tasks[self._task].elapsed or 0)
                if elapsed >= said + 15:
                    said = elapsed
                    self._console.print(f"{examples} examples, {elapsed} s {shown}".rstrip())

    def _look(self) -> tuple[int, int]:
        examples = 0
        identities: set[tuple[str, str]] = set()
        for path in self._spool.glob("*-*.json"):
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            examples += data["tally"]["examples"]
            identities |= {(one["rule"], one["signature"]) for one in data["findings"]}
        return examples, len(identities)


# -- replay -----------------------------------------------------------------------------------


@main.command()
@click.argument("file", metavar="FILE")
@click.option("--target", metavar="T", help="Default: the counterexample's own, else reference.")
@click.option("--system", help="System of a hand-written file. Default: the one that it fits.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@kernel_option
def replay(
    file: str, target: str | None, system: str | None, as_json: bool, kernel: str | None
) -> None:
    """Run a counterexample, or a hand-written FILE of operations, again; - is the standard input.

    A counterexample answers FAILED (the rule is still broken, exit code 1), FIXED (it held, 0) or
    ERROR (it could not be run, 2). A file of operations has one JSON object a line; what each
    returned, and what every page that it touched then translates to, is printed.
    """
    from conformance import replay as again
    from conformance.targets.linux.errors import BuildError, HarnessError
    from conformance.targets.protocol import TargetUnavailable

    try:
        with _at_rest(file) as path:
            answer = again.replay(path, target, system, kernel, file)
    except (ValueError, OSError, TargetUnavailable, BuildError, HarnessError) as error:
        if as_json:
            click.echo(json.dumps({"answer": "ERROR", "message": str(error)}))
            sys.exit(USAGE)
        click.echo("ERROR")
        refuse(error)
    click.echo(answer.json_text() if as_json else answer.text(), nl=False)
    sys.exit(VIOLATIONS if answer.failed else 0)


@contextmanager
def _at_rest(file: str) -> Iterator[str]:
    """The path of a file that can be read more than once: a copy of what comes through a pipe."""
    if file != "-" and not Path(file).is_fifo():
        yield file
        return
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    with tempfile.TemporaryDirectory(prefix="mmu-conformance-") as folder:
        path = Path(folder) / "standard-input"
        path.write_bytes(content)
        yield str(path)


# -- tell -------------------------------------------------------------------------------------


@main.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--as",
    "form",
    type=click.Choice(["text", "markdown", "html"]),
    default="text",
    show_default=True,
    help="text: for a terminal or a mail; markdown: for a bug report; html: one page.",
)
@click.option("--width", type=int, help="Columns of text, 72 to 200. Default: 100.")
@click.option("--out", metavar="PATH", help="Write it there, instead of to the standard output.")
@kernel_option
def tell(file: str, form: str, width: int | None, out: str | None, kernel: str | None) -> None:
    """Tell what the counterexample in FILE says, without running anything; - is the standard input.

    With --kernel, the printed lines name the tree that they are to be run on.
    """
    from conformance import tell_again

    _told(file, out, lambda path: tell_again.telling(path, form, width, file, kernel))


def _told(file: str, out: str | None, tell_of: Callable[[str], str]) -> None:
    """Print what is told of a counterexample's file, or write it to ``out``."""
    from reports import files

    try:
        with _at_rest(file) as path:
            text = tell_of(path)
        if out:
            files.write_text(out, text)
    except (ValueError, OSError) as error:
        refuse(error)
    if not out:
        click.echo(text, nl=False)


# -- export -----------------------------------------------------------------------------------


@main.command()
@click.argument("file", metavar="FILE")
@click.option("--as", "form", type=click.Choice(["pytest"]), default="pytest", show_default=True)
@click.option("--out", metavar="PATH", help="Write it there, instead of to the standard output.")
@kernel_option
def export(file: str, form: str, out: str | None, kernel: str | None) -> None:
    """Write the counterexample in FILE as a test that needs this package alone.

    The test fails as long as the rule is broken. MMU_TARGET and MMU_KERNEL say on what it runs.
    """
    from conformance import export as exports
    from conformance.discovery import system_by_name
    from reports import counterexample

    def test_of(path: str) -> str:
        return exports.pytest_text(counterexample.load(path, system_by_name), kernel)

    _told(file, out, test_of)


# -- list, decode -----------------------------------------------------------------------------


@main.command(name="list")
@click.argument("what", metavar="systems|targets|rules|formats|mutants")
@click.option("--json", "as_json", is_flag=True, help="Of targets only: what systems say, as JSON.")
@kernel_option
def list_things(what: str, as_json: bool, kernel: str | None) -> None:
    """List what there is: systems, targets, rules, formats or mutants."""
    from conformance import list_and_decode
    from conformance.targets.protocol import TargetUnavailable

    try:
        if (as_json or kernel) and what != "targets":
            raise ValueError(f"list is {what!r} with --json or --kernel; allowed is targets")
        if as_json:
            click.echo(list_and_decode.targets_json(kernel), nl=False)
        else:
            click.echo(list_and_decode.listing(what), nl=False)
    except (ValueError, TargetUnavailable) as error:
        refuse(error)


@main.command()
@kernel_option
def doctor(kernel: str | None) -> None:
    """Say what a kernel tree has for the linux: targets, and what is missing, on this machine.

    For each target what it would be built of, and for each probe what the tree answers. Exit
    code 0: everything can be built. 1: something is missing.
    """
    from conformance.doctor import examine

    lines, good = examine(kernel, lambda text: click.echo(text, err=True))
    click.echo("\n".join(lines))
    sys.exit(0 if good else VIOLATIONS)


# So that a negative number is a word and no option.
@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("format_name", metavar="FORMAT")
@click.argument("word", metavar="WORD")
@click.option(
    "--level", type=int, metavar="L", help="Only as an entry of this level (NVIDIA: table number)."
)
def decode(format_name: str, word: str, level: int | None) -> None:
    """Say what a page-table entry WORD means in FORMAT, field by field."""
    from conformance import list_and_decode

    try:
        click.echo(list_and_decode.decoded(format_name, word, level), nl=False)
    except ValueError as error:
        refuse(error)


# -- walk -------------------------------------------------------------------------------------


@main.command()
@click.argument("format_name", metavar="FORMAT")
@click.option(
    "--root", "roots", multiple=True, required=True, metavar="PA",
    help="Physical address of the root table. With root registers: one for each, in order.",
)  # fmt: skip
@click.option("--image", required=True, metavar="FILE",
              help="Table memory: raw 64-bit words, the lowest byte first.")  # fmt: skip
@click.option("--base", default="0x80000000", show_default=True, metavar="PA",
              help="Physical address of the image's first byte.")  # fmt: skip
@click.option("--ias", type=int, metavar="BITS", help="Input bits; default: the format's most.")
@click.option("--fields", is_flag=True, help="Also each entry field by field.")
@click.argument("addresses", metavar="VA...", nargs=-1, required=True)
def walk(
    format_name: str,
    roots: tuple[str, ...],
    image: str,
    base: str,
    ias: int | None,
    fields: bool,
    addresses: tuple[str, ...],
) -> None:
    """Walk table memory that was saved to a file, and print each walk with its entries decoded.

    An address that the table does not translate is an answer, too: exit code 0.
    """
    from conformance import walking

    try:
        click.echo(
            walking.walked(format_name, roots, image, base, ias, addresses, fields), nl=False
        )
    except ValueError as error:
        refuse(error)


if __name__ == "__main__":
    main()
