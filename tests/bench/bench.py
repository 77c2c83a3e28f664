#!/usr/bin/python3
"""
The daemon beside a hand-written loop (the limit) and other bridges, on pseudo-terminals.

Each test runs all of them one after the other, several rounds over; a ratio is that of
the daemon to the limit of the same round.  The load generator, the bridge and the kernel's
tty workers share one CPU, so figures are the sum of all work and repeat; the workers
are given back at the end.  That needs root: without it everything runs unpinned.  The time
that other programs took of that CPU is taken out of throughputs.

    make bench                              everything, under a quarter of an hour
    make bench SUITES=raw,frames ROUNDS=3
"""
import argparse
import atexit
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from bridges import BRIDGES, BUILD, GAP_US, LIMIT, OURS, RAW, Setup, installed, ours
from suites import PEERS, SUITES

WORKERS = Path("/sys/devices/virtual/workqueue/cpumask")
CPU = 0
PEER_ROUNDS = 3         # what the others can do does not change


# --- running -----------------------------------------------------------------

class Workers:
    """The kernel's tty workers, kept on one CPU or not."""

    def __init__(self):
        self.before = None
        try:
            self.before = WORKERS.read_text()
            WORKERS.write_text(self.before)
            atexit.register(self.restore)
        except OSError as e:
            print(f"bench: nothing is pinned: {e}", file=sys.stderr)
            self.before = None

    def pin(self, on):
        if self.before is not None:
            WORKERS.write_text(f"{1 << CPU:x}" if on else self.before)
        return on and self.before is not None

    def restore(self):
        WORKERS.write_text(self.before)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Disturber:
    """Asks for all there is, again and again, and reloads every second."""
    COMMANDS = "json ps", "list", "json list", "endpoints", "peers"

    def __init__(self, setup):
        self.setup, self.over = setup, threading.Event()
        self.result = {"commands_s": 0, "reload_ms": 0}
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def connect(self, name):
        while not self.over.is_set():
            try:
                s = socket.socket(socket.AF_UNIX)
                s.connect(str(self.setup.directory / name))
                return s.makefile("rw")
            except OSError:
                time.sleep(0.05)
        raise EOFError

    @staticmethod
    def ask(control, command):
        control.write(command + "\n")
        control.flush()
        lines = []
        while not lines or not lines[-1].startswith(("OK\n", "ERR ")):
            line = control.readline()
            if not line:
                raise EOFError
            lines.append(line)
        if lines[-1] != "OK\n":
            raise ValueError(lines[-1])
        return lines

    def reload(self, control, version):
        ours(self.setup, version)
        began = time.monotonic()
        self.ask(control, "reload")
        self.result["reload_ms"] = max(self.result["reload_ms"],
                                       1e3 * (time.monotonic() - began))

    def run(self):
        # Beside the CPU of what is measured.
        if others := os.sched_getaffinity(0) - {CPU}:
            os.sched_setaffinity(0, others)
        try:
            read, full = self.connect("read"), self.connect("full")
            began, version = time.monotonic(), 0
            for n in range(1 << 30):
                self.ask(read, self.COMMANDS[n % len(self.COMMANDS)])
                self.result["commands_s"] = (n + 1) / (time.monotonic() - began)
                if time.monotonic() - began > version:
                    version += 1
                    self.reload(full, version)
                    self.result["held_ms"] = max(
                        row["max"] for row in json.loads(
                            self.ask(full, "json ps")[0])) * 1e3
        except (EOFError, OSError, ValueError):
            pass        # the daemon ends

    def end(self):
        self.over.set()
        self.thread.join()
        return self.result


def spoken(protocol, pattern):
    """What the load generator has to do for a protocol."""
    if protocol == "rfc2217":
        return ["--telnet", "--other", pattern.replace("raw", "iac")]
    return ["--tls"] if protocol == "tls" else []


def load(words, pin, timeout=60, program="load"):
    """Runs a load generator; ends it whatever happens to us."""
    p = subprocess.Popen(
        [str(BUILD / program)] + words, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=(lambda: os.sched_setaffinity(0, {CPU})) if pin else None)
    try:
        out, error = p.communicate(timeout=timeout)
        return dict(json.loads(out), warnings=error.count("held the loop"))
    except subprocess.TimeoutExpired:
        return {"error": "timed out"}
    except ValueError:
        return {"error": (error.strip().splitlines() or ["?"])[-1]}
    finally:
        if p.poll() is None:
            p.terminate()
            p.wait()


def run_masters(test, bridge, s, pin):
    words = test.load + ["--dir", str(s.directory)]
    if bridge is BRIDGES[LIMIT]:
        words += ["--no-bridge"]
        words += [] if "--gap" in words else ["--gap", str(GAP_US)]
    else:
        words += ["--port", str(s.port), "--"] + bridge.words(s)
    return load(words, pin, program="masters")


def run_once(test, bridge, directory, pin, trace=()):
    for old in directory.iterdir():
        old.unlink()
    needs_port = test.clients or test.program == "masters"
    s = Setup(directory, port=free_port() if needs_port else 0, **test.setup)
    if test.program == "masters":
        return run_masters(test, bridge, s, pin)
    words = test.load + ["--dir", str(directory), "--pairs", str(s.pairs)]
    if test.clients:
        words += ["--clients", str(test.clients), "--port", str(s.port)]
        words += [] if bridge is BRIDGES[RAW] else \
            spoken(s.protocol, test.load[test.load.index("--format") + 1])
    if bridge.each:
        words += ["--each"]
    words += ["--"] + list(trace) + bridge.words(s)
    if not s.crowd:
        return load(words, pin)
    disturber = Disturber(s)
    try:
        r = load(words, pin, 120)
    finally:
        disturbed = disturber.end()
    return dict(r, **disturbed)


def difference(test, bridge, directory, pin, counts, tool, total):
    """What a message costs by a tool that counts a whole run: many less few."""
    ran = []
    for count in counts:
        r = run_once(replace(test, load=test.load + ["--count", str(count)]),
                     bridge, directory, pin, tool)
        if "error" in r:
            return r
        ran.append((r["all_messages"], total(directory / "counts"), r))
    (few, a, _), (many, b, r) = ran
    return dict(r, each=(b - a) / (many - few))


def calls_of(path):
    """The sum of strace's table."""
    return int(path.read_text().splitlines()[-1].split()[3])


def traced(test, bridge, directory, pin):
    r = difference(test, bridge, directory, pin, (100, 1000),
                   ["strace", "-f", "-c", "-qq", "-o", f"{directory}/counts"],
                   calls_of)
    if "each" in r:
        r["calls"] = r["each"]
    return r


def run_fairly(test, bridge, directory, pin):
    """Again when others took much of the CPU; what they took is taken out."""
    if test.trace:
        return traced(test, bridge, directory, pin)
    best = None
    for _ in range(2):
        r = run_once(test, bridge, directory, pin)
        if best is None or "error" in best or \
                r.get("foreign", 1) < best["foreign"]:
            best = r
        if not pin or best.get("foreign", 0) < 0.15 or "--lazy" in test.load:
            break
    if pin and test.load[0] == "flow":
        for key in ("mb_s", "kframes_s"):
            if key in best:
                best[key] /= max(0.2, 1 - best["foreign"])
    return best


def has_a_turn(test, name, bridges, n):
    """Whether a bridge takes part in that test's n-th round."""
    return name in (*bridges, test.measure) and test.clients <= BRIDGES[name].clients and \
        (name == OURS or "crowd" not in test.setup) and \
        (name != LIMIT or not test.alone) and \
        (n < PEER_ROUNDS or name not in PEERS) and \
        (n == 0 or not test.trace)


def run_suite(suite, tests, bridges, rounds, directory, workers):
    samples, failed = [], set()
    for n in range(rounds):
        began = time.monotonic()
        for test in tests:
            pin = workers.pin(test.pinned)
            for name in [test.measure, OURS, *test.peers]:
                if (test.name, name) in failed or \
                        not has_a_turn(test, name, bridges, n):
                    continue
                r = run_fairly(test, BRIDGES[name], directory, pin)
                samples.append(dict(r, test=test.name, bridge=name, round=n))
                if "error" in r:
                    failed.add((test.name, name))
                    print(f"{test.name}: {name}: {r['error']}", file=sys.stderr)
        print(f"{suite}: round {n + 1} of {rounds} took "
              f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return samples


# --- the table ---------------------------------------------------------------

def show(x):
    return f"{x:.0f}" if abs(x) >= 100 or x == int(x) else \
        f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def values(samples, test, bridge, key):
    return {s["round"]: s[key] for s in samples if s["test"] == test and
            s["bridge"] == bridge and key in s}


def reached(figure, row):
    if row["ratio"] is not None and figure.ratio is not None:
        got, goal = row["ratio"], figure.ratio
    elif figure.value is not None:
        got, goal = row["ours"], figure.value
    else:
        return None
    if any(name in row["peers"] and row["ours"] <= row["peers"][name]["value"]
           for name in figure.above):
        return False
    return got >= goal if figure.more else got <= goal


def wrong(samples, test, bridge):
    """Bytes, or requests, that were lost, came twice, were others, or out of order."""
    faults = "lost", "doubled", "bad", "disordered", "stale"
    return int(sum(s.get(fault, 0) for fault in faults for s in samples
                   if s["test"] == test and s["bridge"] == bridge))


def make_row(test, figure, samples, bridges):
    mine = values(samples, test.name, OURS, figure.key)
    base = values(samples, test.name, test.measure, figure.key)
    if not mine:
        return None
    ratios = [mine[n] / base[n] for n in mine if base.get(n)]
    if figure.added:
        mine = {n: mine[n] - base[n] for n in mine if n in base}
    row = dict(name=test.name + figure.label, unit=figure.unit,
               limit=statistics.median(base.values()) if base else None,
               ours=statistics.median(mine.values()), min=min(mine.values()),
               max=max(mine.values()),
               ratio=statistics.median(ratios) if ratios else None,
               goal=figure.ratio if figure.ratio is not None else figure.value,
               wrong=wrong(samples, test.name, OURS), peers={})
    for name in bridges[2:]:
        its = values(samples, test.name, name, figure.key)
        if its:
            row["peers"][name] = dict(
                value=statistics.median(its.values()),
                wrong=wrong(samples, test.name, name))
    row["reached"] = reached(figure, row)
    return row


def print_table(rows, bridges):
    head = ["", "unit", "limit", "ours", "min", "max", "ratio", "goal", "",
            "wrong"] + list(bridges[2:])
    lines = [head]
    for r in rows:
        line = [r["name"], r["unit"]] + [
            "" if r[k] is None else show(r[k])
            for k in ("limit", "ours", "min", "max")]
        line += ["" if r["ratio"] is None else f"{r['ratio']:.2f}",
                 "" if r["goal"] is None else f"{r['goal']:g}",
                 {None: "", True: "ok", False: "-"}[r["reached"]],
                 str(r["wrong"])]
        for name in bridges[2:]:
            p = r["peers"].get(name)
            line.append("" if p is None else
                        show(p["value"]) + ("!" if p["wrong"] else ""))
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in
                        enumerate(zip(line, widths))).rstrip())
    print("\nours: medians of the rounds; ratio: to the limit of the same round (rfc2217,"
          "\nand beside raw: to a raw port of ours, which is shown as the limit);"
          "\nwrong: bytes or requests lost, doubled or bad in all rounds; !: others had such.")


def say_disturbance(samples):
    foreign = [s["foreign"] for s in samples if s.get("mb_s") or "p50" in s]
    if foreign:
        print(f"Other programs had {100 * statistics.median(foreign):.0f} % of "
              f"the CPU in the median run, {100 * max(foreign):.0f} % at most.")


def codecs():
    print("\nCodecs in memory:\n")
    sys.stdout.flush()
    subprocess.run([str(BUILD / "codec")], check=True)


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--suites", default=",".join(SUITES) + ",codec",
                   help="of " + ", ".join(SUITES) + ", codec")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", help="bridges beside the limit and the daemon")
    p.add_argument("--json", metavar="FILE", help="all samples and the table")
    a = p.parse_args()
    suites = a.suites.replace(",", " ").split()
    if bad := set(suites) - set(SUITES) - {"codec"}:
        p.error(f"no suite {', '.join(bad)}; there are {', '.join(SUITES)}, codec")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))
    bridges = [b for b in installed() if a.only is None or
               b in (LIMIT, OURS, *a.only.split(","))]
    workers, samples, rows = Workers(), [], []
    with tempfile.TemporaryDirectory(prefix="ttybench") as directory:
        for name in suites:
            if name == "codec":
                continue
            tests = list(SUITES[name]())
            mine = run_suite(name, tests, bridges, a.rounds, Path(directory),
                             workers)
            rows += [r for t in tests for f in t.figures
                     if (r := make_row(t, f, mine, bridges))]
            samples += mine
    if rows:
        print_table(rows, bridges)
        say_disturbance(samples)
    if "codec" in suites:
        codecs()
    if a.json:
        Path(a.json).write_text(json.dumps(
            dict(rows=rows, samples=samples), indent=1))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
