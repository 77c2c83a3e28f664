"""`make install`, and `make` where packages are missing, as their users see them."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import ROOT, run

UNITS = ("ttybridge.service", "ttybridge@.service")


def make(*words, path=None, tree=ROOT, **variables):
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")} | variables
    if path is not None:
        env["PATH"] = f"{path}:{env['PATH']}"
    return subprocess.run(["make", "-s", *words], cwd=tree, env=env, timeout=600,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)


@pytest.fixture
def program():
    """What `make` has built is there, or the tree cannot be installed."""
    if not (ROOT / "build/plain/ttybridged").exists():
        pytest.skip("build/plain/ttybridged is not built")


@pytest.mark.parametrize("prefix", ["/usr", "/opt/tty"])
def test_the_program_is_in_bin_and_found_in_sbin_too(program, directory, prefix):
    words = (f"DESTDIR={directory}", f"PREFIX={prefix}", "SYSCONFDIR=/etc")
    done = make("install", *words)
    assert done.returncode == 0, done.stderr
    top = Path(f"{directory}{prefix}")
    old, new = top / "sbin/ttybridged", top / "bin/ttybridged"
    assert new.is_file() and not new.is_symlink() and os.access(new, os.X_OK)
    assert old.is_symlink() and old.resolve() == new.resolve()
    for path in (old, new):
        said = subprocess.run([path, "--version"], stdout=subprocess.PIPE)
        assert said.stdout.decode() == run("--version").stdout
    for unit in UNITS:
        lines = (directory / "lib/systemd/system" / unit).read_text().split("\n")
        exec_paths, = [x for x in lines if x.startswith("ExecPaths=")]
        for path in ("bin", "sbin"):
            assert f"{prefix}/{path}/ttybridged" in exec_paths
        for line in lines:
            if "--check" in line or line.startswith("ExecStart="):
                assert f"={prefix}/bin/ttybridged " in line
    client = subprocess.run([top / "bin/ttybridgectl", "--version"], stdout=subprocess.PIPE)
    assert client.stdout.decode() == run("--version").stdout.replace("ttybridged", "ttybridgectl")
    share = top / "share"
    zsh = share / "zsh" / ("vendor-completions" if prefix == "/usr" else "site-functions")
    others = [share / "man/man1/ttybridgectl.1",
              share / "bash-completion/completions/ttybridgectl", zsh / "_ttybridgectl",
              share / "fish/vendor_completions.d/ttybridgectl.fish"]
    assert all(file.stat().st_size > 1000 for file in others)
    extcap, = directory.glob("usr/lib/**/wireshark/extcap/*")
    assert os.readlink(extcap) == f"{prefix}/bin/ttybridgectl"
    assert make("uninstall", *words).returncode == 0
    assert not new.exists() and not old.is_symlink()
    assert not (top / "bin/ttybridgectl").exists() and not any(f.exists() for f in others)
    assert not extcap.is_symlink()


def test_where_sbin_is_bin_the_program_stays(program, directory):
    (directory / "usr/bin").mkdir(parents=True)
    (directory / "usr/sbin").symlink_to("bin")
    done = make("install", f"DESTDIR={directory}", "PREFIX=/usr")
    assert done.returncode == 0, done.stderr
    installed = directory / "usr/bin/ttybridged"
    assert installed.is_file() and not installed.is_symlink()


def stub(directory, name, text):
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_compiler_is_asked_only_when_it_is_needed(directory):
    done = make("help", "CC=no-such-compiler")
    assert (done.returncode, done.stderr) == (0, "")
    stub(directory, "no-such-compiler", "echo x86_64-linux-gnu")
    done = make("-n", "-B", "build/plain/base/util.o", "CC=no-such-compiler", "V=1",
                path=directory)
    assert "-fcf-protection" in done.stdout, done.stderr


def test_without_the_right_to_install_the_command_is_printed(directory):
    if shutil.which("dpkg-query") is None:
        pytest.skip("there is no dpkg here")
    stub(directory, "dpkg-query", 'case $* in *libjansson-dev*) exit 1 ;; esac; '
         'printf "ii \\n"')
    stub(directory, "id", "echo 1000")
    stub(directory, "sudo", "exit 1")
    stub(directory, "apt-get", f"touch {directory}/called")
    done = make("deps-build", path=directory)
    assert done.returncode != 0
    line, = [x.strip() for x in done.stdout.split("\n") if "apt-get" in x]
    assert line.startswith("sudo apt-get install ")
    assert line.endswith(" libjansson-dev")
    assert not (directory / "called").exists()


def test_with_the_right_to_install_it_is_used(directory):
    if shutil.which("dpkg-query") is None:
        pytest.skip("there is no dpkg here")
    stub(directory, "dpkg-query", 'case $* in *libjansson-dev*) exit 1 ;; esac; '
         'printf "ii \\n"')
    stub(directory, "id", "echo 1000")
    stub(directory, "sudo", f'echo "$@" >>{directory}/called')
    stub(directory, "apt-get", "exit 1")
    assert make("deps-build", path=directory).returncode == 0
    called = (directory / "called").read_text()
    assert "apt-get install" in called and "libjansson-dev" in called
