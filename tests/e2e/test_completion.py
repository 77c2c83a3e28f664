"""The completions of ttybridgectl in bash, zsh and fish."""
import os
import shutil
import subprocess

import pytest

from ctl import CTL
from harness import BINARY, PATIENCE, ROOT, SANITIZERS, serial

BASH = r'''
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_ttybridgectl
printf '%s\n' "${COMPREPLY[@]}"
'''
# What the shell does with the words is left out.
ZSH = r'''
compdef() { }
compadd() { shift; print -l -- "$@" }
_files() { print -l -- *(N) }
_describe() { print -l -- ${(P)2%%:*} }
. "$1"; shift
words=("$@"); CURRENT=$#
_ttybridgectl
'''
FISH = 'source $argv[1]; complete -C (string join " " -- $argv[2..-1])'
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@pytest.fixture(params=sorted(SCRIPTS))
def complete(request, directory):
    """Completes the last of the words; the sorted possibilities."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    tables = b"".join(subprocess.run([program, "--list-commands"], check=True,
                                     stdout=subprocess.PIPE).stdout for program in (CTL, BINARY))
    file = directory / f"completion.{shell}"
    with open(file, "wb") as f:
        subprocess.run(["awk", "-v", f"shell={shell}", "-f", ROOT / "conf/completions.awk"],
                       input=tables, stdout=f, check=True)
    home = directory / "home"
    home.mkdir()

    def run(*words):
        argv = [shell, *(["-f"] if shell == "zsh" else ["--no-config"] if shell == "fish" else []),
                "-c", SCRIPTS[shell], *(["x"] if shell != "fish" else []), file, CTL, *words]
        done = subprocess.run(
            list(map(str, argv)), cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=PATIENCE,
            env={**os.environ, **SANITIZERS, "HOME": str(home),
                 "PATH": f"{os.path.dirname(CTL)}:{os.environ['PATH']}"})
        assert done.stderr == ""
        found = {line.split("\t")[0] for line in done.stdout.splitlines()} - {""}
        return sorted(w for w in found if w.startswith(str(words[-1])))
    return run


def test_commands(complete):
    assert complete("en") == ["ended", "endpoints"]
    assert complete("to") == ["top"]
    assert complete("json", "ro") == ["routes"]
    assert {"ps", "attach", "watch", "help"} <= set(complete(""))


def test_options(complete):
    assert complete("--so") == ["--socket"]
    assert "--json" in complete("--")


def test_names_are_those_of_the_daemon(complete, daemon, pty):
    d = daemon(serial("ar1", pty("ar1")) + serial("ar2", pty("ar2")) + serial("b", pty("b")))
    at = ["-s", str(d.socket)]
    assert complete(*at, "send", "") in (["-b", "ar1", "ar2", "b"], ["ar1", "ar2", "b"])
    assert complete(*at, "watch", "b", "ar") == ["ar1", "ar2"]
    assert complete("--socket", str(d.socket), "--json", "where", "b.") == ["b.read", "b.write"]
    assert complete(*at, "get", "b/rx_f") == ["b/rx_frames"]
    assert complete(*at, "attach", "ar") == ["ar1", "ar2"]
    assert complete(*at, "json", "pause", "b") == ["b"]
    assert complete(*at, "capture", "-", "-a", "ar") == ["ar1", "ar2"]
    assert complete(*at, "capture", "start", "x.pcap", "b", "ar") == ["ar1", "ar2"]
    assert complete(*at, "replay", "x.pcap", "--to", "ar") == ["ar1", "ar2"]


def test_words_and_files(complete, directory):
    (directory / "some.pcap").touch()
    assert complete("capture", "sta") == ["start", "status"]
    assert complete("capture", "start", "some") == ["some.pcap"]
    assert complete("help", "rel") == ["reload"]


def test_without_a_daemon_there_are_no_names(complete, directory):
    assert complete("-s", directory / "none", "send", "x") == []
