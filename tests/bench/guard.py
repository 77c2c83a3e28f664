#!/usr/bin/python3
"""
Costs that do not depend on the machine's speed, held to figures in the tree (guard.txt):
system calls of a message (strace) and instructions of a frame (callgrind).

    guard.py            fails when one is over by 5 %; passes over where compiler,
                        libraries or processor are others than those of the figures
    guard.py --take     writes the figures
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import difference, traced
from bridges import BRIDGES, DAEMON, HERE, OURS
from suites import Test

FILE = HERE / "guard.txt"
MARGIN = 1.05
RUNS = 12                   # at most: those of one program differ by 3 %

# name, format on side A and B, clients of TCP, frames written at once where
# instructions are counted
CASES = [("raw 16", "raw:16", "raw:16", 0, 1),
         ("line 64", "line:64", "line:64", 0, 32),
         ("mavlink 66", "mavlink:66", "mavlink:66", 0, 32),
         ("slip to cobs 64", "slip:64", "cobs:64", 0, 32),
         ("line 64 to 8 clients", "line:64", "line:64", 8, 32)]


def made_with():
    """Whatever changes the figures without a change of ours."""
    comment = subprocess.run(["readelf", "-p", ".comment", DAEMON],
                             capture_output=True, text=True).stdout
    linked = subprocess.run(["ldd", DAEMON], capture_output=True, text=True).stdout
    event = re.search(r"=> (\S*libevent_core\S*)", linked)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True,
                              text=True).stdout
    cpu = Path("/proc/cpuinfo").read_text()
    return ", ".join([
        *re.findall(r"\]\s+(.*)", comment), os.confstr("CS_GNU_LIBC_VERSION"),
        os.path.basename(os.path.realpath(event[1])) if event else "no libevent",
        valgrind.strip(), os.uname().machine + " avx2" * (" avx2 " in cpu)])


def instructions_of(path):
    return int(re.search(r"^totals: (\d+)", path.read_text(), re.M)[1])


def measure(case, directory):
    name, a, b, clients, burst = case
    base = ["pong", "--format", a, "--other", b, "--seconds", "60",
            "--ready", "60"]
    test = Test(name, base, [], clients=clients, setup=dict(
        framing=(a.split(":")[0], b.split(":")[0])))
    r = traced(test, BRIDGES[OURS], directory, False)
    if "error" in r:
        return r, None
    test.load = base + ["--burst", str(burst)]
    i = difference(test, BRIDGES[OURS], directory, False, (20, 420),
                   ["valgrind", "--tool=callgrind",
                    f"--callgrind-out-file={directory}/counts"], instructions_of)
    return r, i


def read_figures():
    figures, made = {}, None
    for line in FILE.read_text().splitlines():
        if line.startswith("made with: "):
            made = line.removeprefix("made with: ")
        elif line and not line.startswith("#"):
            name, calls, instructions = re.split(r"\t+", line)
            figures[name] = float(calls), float(instructions)
    return made, figures


def take(got):
    FILE.write_text(
        "# System calls of a message, instructions of a frame: guard.py --take\n"
        f"made with: {made_with()}\n" +
        "".join(f"{name}\t{calls:.2f}\t{instructions:.0f}\n"
                for name, (calls, instructions) in got.items()))


def over_by_much(now, was):
    return any(n > w * MARGIN for n, w in zip(now, was))


def held_to(case, was, directory):
    """
    The least of a few runs, as a busy machine cuts bursts into more reads; the
    most when figures are taken.
    """
    runs = []
    for _ in range(RUNS):
        calls, instructions = measure(case, directory)
        if "each" not in calls:
            return None, calls.get("error")
        if "each" not in instructions:
            sys.exit(f"guard: {case[0]}: {instructions.get('error')}")
        runs.append((calls["each"], instructions["each"] / case[4]))
        best = tuple(map(min, zip(*runs)))
        if was and not over_by_much(best, was):
            return best, None
    return best if was else tuple(map(max, zip(*runs))), None


def main():
    taking = sys.argv[1:] == ["--take"]
    for tool in ("strace", "valgrind", "readelf"):
        if not shutil.which(tool):
            return print(f"guard: passed over, there is no {tool}")
    if not taking and not FILE.exists():
        return print("guard: passed over, no figures were taken (--take)")
    if not taking:
        made, figures = read_figures()
        if made != made_with():
            return print("guard: passed over, the figures are of another "
                         f"build\n  theirs: {made}\n  ours:   {made_with()}")
    over, got = False, {}
    with tempfile.TemporaryDirectory(prefix="ttyguard") as directory:
        for case in CASES:
            was = None if taking else figures.get(case[0], (0, 0))
            now, error = held_to(case, was, Path(directory))
            if now is None:
                return print(f"guard: passed over, strace does not work: {error}")
            got[case[0]] = now
            bad = was is not None and over_by_much(now, was)
            over |= bad
            print(f"guard: {case[0]}: {now[0]:.2f} calls, {now[1]:.0f} instructions"
                  + (f" (at most {was[0] * MARGIN:.2f}, {was[1] * MARGIN:.0f})"
                     if was else "") + (": too many" if bad else ""))
    if taking:
        take(got)
    sys.exit(over)


main()
