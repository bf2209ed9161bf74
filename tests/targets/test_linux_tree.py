"""How the kernel tree is found, and what is said when it cannot be used."""

import io
import os
import platform
import shutil
import tarfile
from pathlib import Path

import pytest

from conformance.systems.pagetable.targets import LinuxIoPgtable
from conformance.targets.linux import shadow, toolchain, tree
from conformance.targets.linux.cache import CACHE_VARIABLE, keep_newest, locked
from conformance.targets.linux.errors import KernelTreeError, TargetUnavailable

MAKEFILE = "# SPDX\nVERSION = 6\nPATCHLEVEL = 99\nSUBLEVEL = 3\nEXTRAVERSION = -rc1\nNAME = x\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No sources but those of the test, and a cache of its own."""
    monkeypatch.delenv(tree.TREE_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(tree, "DEBIAN_SOURCES", tmp_path / "usr-src")


def make_tree(path: Path) -> Path:
    """The few files by which a tree is known."""
    for name in tree.NEEDED:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(MAKEFILE if name == "Makefile" else "")
    return path


def make_tarball(path: Path, top: str, extra: dict[str, bytes]) -> Path:
    """A tarball like that of Debian's package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = dict.fromkeys(tree.NEEDED, b"") | {"Makefile": MAKEFILE.encode()} | extra
    with tarfile.open(path, "w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_a_named_tree(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "linux")
    found = tree.find_tree(path)
    assert (found.path, found.version, found.origin) == (path, "6.99.3-rc1", str(path))
    assert found.description == f"linux 6.99.3-rc1 ({path})" == tree.describe(path)


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("6.1", "6.12"):
        make_tarball(
            tmp_path / f"usr-src/linux-source-{version}.tar.xz", f"linux-source-{version}", {}
        )
    assert tree.find_tree().origin == "debian linux-source-6.12"
    monkeypatch.setenv(tree.TREE_VARIABLE, str(make_tree(tmp_path / "by-variable")))
    assert tree.find_tree().path.name == "by-variable"
    assert tree.find_tree(make_tree(tmp_path / "named")).path.name == "named"
    tarball = tmp_path / "usr-src/linux-source-6.1.tar.xz"
    assert tree.find_tree(tarball).origin == "debian linux-source-6.1"


def test_a_tarball_is_unpacked_once_and_only_as_far_as_needed(tmp_path: Path) -> None:
    tarball = make_tarball(
        tmp_path / "usr-src/linux-source-6.99.tar.xz",
        "linux-source-6.99",
        {"drivers/iommu/io-pgtable.c": b"int x;", "drivers/net/big.c": b"", "sound/Kconfig": b""},
    )
    said: list[str] = []
    path = tree.find_tree(progress=said.append).path
    assert said == ["unpacking linux-source-6.99.tar.xz (once)"]
    assert (path / "drivers/iommu/io-pgtable.c").read_bytes() == b"int x;"
    assert (path / "sound/Kconfig").exists()
    assert not (path / "drivers/net").exists()
    assert tree.find_tree(progress=said.append).path == path
    assert len(said) == 1
    # Another package under the same name is another tree.
    os.utime(tarball, (1, 1))
    assert tree.find_tree().path != path


def test_a_broken_tarball_leaves_nothing_behind(tmp_path: Path) -> None:
    tarball = make_tarball(
        tmp_path / "usr-src/linux-source-6.99.tar.xz",
        "linux-source-6.99",
        {"lib/random.bin": os.urandom(50_000)},
    )
    tarball.write_bytes(tarball.read_bytes()[:20_000])
    with pytest.raises(KernelTreeError, match=r"linux-source-6.99.tar.xz cannot be unpacked"):
        tree.find_tree()
    assert not [path for path in (tmp_path / "cache/linux/trees").iterdir() if path.is_dir()]


def test_no_sources_at_all() -> None:
    with pytest.raises(TargetUnavailable) as raised:
        tree.find_tree()
    assert "no kernel sources" in raised.value.reason
    assert raised.value.command == (
        "apt-get install linux-source-6.12 make gcc libc6-dev flex bison bc"
    )
    assert tree.describe().startswith("none (no kernel sources")


def test_what_is_no_tree(tmp_path: Path) -> None:
    allowed = "allowed are an unpacked kernel tree, a git worktree of one, and a tarball"
    with pytest.raises(KernelTreeError, match=f"'/no/such', which does not exist; {allowed}"):
        tree.find_tree("/no/such")
    file = tmp_path / "linux.zip"
    file.write_bytes(b"")
    with pytest.raises(KernelTreeError, match=f"linux.zip', a file; {allowed}"):
        tree.find_tree(file)
    with pytest.raises(KernelTreeError, match="is no kernel tree: it has no Makefile"):
        tree.find_tree(tmp_path)
    path = make_tree(tmp_path / "linux")
    (path / "arch/um/Makefile").unlink()
    with pytest.raises(KernelTreeError, match="it has no arch/um/Makefile"):
        tree.find_tree(path)


def test_a_tree_without_the_driver(tmp_path: Path) -> None:
    make_tree(tmp_path / "linux")
    message = r"\(linux 6.99.3-rc1\) has no drivers/iommu/io-pgtable-arm.c, which linux:io-pgtable"
    with pytest.raises(KernelTreeError, match=message):
        LinuxIoPgtable(kernel=tmp_path / "linux")


def test_an_unknown_unit() -> None:
    with pytest.raises(ValueError, match="'io-pgtable-x86'; allowed are io-pgtable-arm, io-pg"):
        LinuxIoPgtable("io-pgtable-x86")


def test_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(TargetUnavailable, match=r"x86-64 host.*this is Linux on aarch64"):
        toolchain.check_host()


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    here = shutil.which
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool in ("bc", "ld") else here(tool))
    with pytest.raises(TargetUnavailable) as raised:
        toolchain.check_host()
    assert raised.value.reason == "the build of Linux targets needs bc, ld"
    assert raised.value.command == "apt-get install bc binutils"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(TargetUnavailable, match=f"{CACHE_VARIABLE} names another folder"),
        locked(tmp_path / "file/builds/x.lock"),
    ):
        pass


def test_old_builds_go_unless_they_are_in_use(tmp_path: Path) -> None:
    for age, name in enumerate(("a", "b", "c", "d")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    with locked(tmp_path / "c.lock"):
        keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a", "b", "c"]


# -- shadows ----------------------------------------------------------------------------


def listing(path: Path) -> set[str]:
    return {
        found.relative_to(path).as_posix()
        for found in path.rglob("*")
        if found.is_symlink() or not found.is_dir()
    }


def test_a_shadow_has_the_sources_and_nothing_that_was_built(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "linux")
    sources = {
        "drivers/iommu/io-pgtable.c", "include/linux/x.h", "arch/um/kernel/vmlinux.lds.S",
        "lib/gen.c", "scripts/kconfig/lexer.l", "include/asm-generic/vmlinux.lds.h",
    }  # fmt: skip
    built = {
        ".config", "include/config/auto.conf", "include/generated/autoconf.h", "vmlinux",
        "drivers/iommu/io-pgtable.o", "drivers/iommu/.io-pgtable.o.cmd", "lib/made.c",
        "lib/.made.c.cmd", "arch/x86/include/generated/asm/a.h", "scripts/kconfig/lexer.lex.c",
        "Module.symvers", "drivers/iommu/built-in.a",
    }  # fmt: skip
    assert not shadow.is_built_in_place(path)
    for name in sources | built:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    assert shadow.is_built_in_place(path)
    stand_in = tmp_path / "shadow"
    shadow.make_shadow(path, stand_in)
    assert listing(stand_in) == sources | set(tree.NEEDED)
    assert (stand_in / "lib/gen.c").read_text() == "lib/gen.c"
    # It follows the tree, and leaves alone what is right.
    kept = os.lstat(stand_in / "include/linux/x.h").st_ctime_ns
    (path / "lib/gen.c").unlink()
    (path / "lib/new.c").write_text("")
    shadow.make_shadow(path, stand_in)
    assert listing(stand_in) == (sources | set(tree.NEEDED) | {"lib/new.c"}) - {"lib/gen.c"}
    assert os.lstat(stand_in / "include/linux/x.h").st_ctime_ns == kept
