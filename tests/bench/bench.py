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
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build/bench"
DAEMON = os.environ.get("TTYBRIDGED", str(ROOT / "build/plain/ttybridged"))
WORKERS = Path("/sys/devices/virtual/workqueue/cpumask")
PYTHON = "/usr/bin/python3"
CPU = 0
GAP_US = 100            # between a frame on a fast bus and the next
PEER_ROUNDS = 3         # what the others can do does not change
LIMIT, OURS = "limit", "ttybridged"


# --- the bridges -------------------------------------------------------------

@dataclass
class Gateway:
    """Masters of Modbus on TCP and on ptys, and the bus that they share."""
    tcp: int = 0
    rtu: int = 0
    bus: str = f"baud = 4000000\nidle = {GAP_US}us\n"
    route: str = "answer_timeout = 500ms\n"


@dataclass
class Setup:
    """What a bridge has to join: pairs of ptys, or a pty and a TCP port."""
    directory: Path
    pairs: int = 1
    mode: str = "raw"       # of the limit
    framing: tuple = ("raw", "raw")
    port: int = 0           # 0: no TCP
    crowd: int = 0          # other endpoints, in pairs, and control ports
    gateway: "Gateway" = None

    def write(self, text, suffix="conf"):
        path = self.directory / f"bridge.{suffix}"
        path.write_text(text)
        return str(path)


def crowd(s, version):
    """Of each version ten endpoints are different."""
    def end(i):
        return (f"[pty e{i}]\nlink = {s.directory}/e{i}\nframing = line\n" +
                (f"max_frame = {1000 + version}\n" if i < 10 else ""))
    return (f"[control full]\nlisten = unix:{s.directory}/full\n"
            f"[control read]\nlisten = unix:{s.directory}/read\naccess = read\n" +
            "".join(end(i) for i in range(s.crowd)) +
            "".join(f"[route e{i}]\nbetween = e{i} e{i + 1}\n"
                    for i in range(0, s.crowd, 2)))


def gateway_conf(s):
    def line(name, port, keys):
        return (f"[serial {name}]\ndevice = {s.directory}/{port}\n"
                f"framing = modbus-rtu\n{keys}")
    g = s.gateway
    masters = ["lan"] * (g.tcp > 0) + [f"r{i}" for i in range(g.rtu)]
    return ("".join(line(f"r{i}", f"R{i}", "baud = 115200\n")
                    for i in range(g.rtu)) +
            (f"[tcp-server lan]\nlisten = 127.0.0.1:{s.port}\nmax_clients = 64\n"
             "framing = modbus-tcp\n" if g.tcp else "") +
            line("bus", "B0", g.bus) +
            f"[route shared]\nfrom = {' '.join(masters)}\nto = bus\n"
            f"exchange = modbus\n{g.route}")


def ours(s, version=0):
    if s.gateway:
        return [DAEMON, "-c", s.write(gateway_conf(s))]

    def port(side, i):
        return (f"[serial {side}{i}]\ndevice = {s.directory}/{side.upper()}{i}\n"
                f"baud = 115200\nframing = {s.framing[side == 'b']}\n")
    if s.port:
        text = port("a", 0) + (
            f"[tcp-server lan]\nlisten = 127.0.0.1:{s.port}\nmax_clients = 64\n"
            f"framing = {s.framing[1]}\n")
    else:
        text = "".join(port("a", i) + port("b", i) +
                       f"[route r{i}]\nbetween = a{i} b{i}\n"
                       for i in range(s.pairs))
    if s.crowd:
        text += crowd(s, version)
    return [DAEMON, "-c", s.write(text)]


def limit(s):
    return [str(BUILD / "limit"), "tcp" if s.port else s.mode, str(s.directory),
            str(s.port or s.pairs)]


def socat(s):
    other = (f"TCP-LISTEN:{s.port},bind=127.0.0.1,reuseaddr,nodelay" if s.port
             else f"{s.directory}/B{{I}},raw,echo=0")
    return ["socat", f"{s.directory}/A{{I}},raw,echo=0", other]


def ser2net(s, options=""):
    def device(side, i):
        return f"serialdev(nouucplock=true),{s.directory}/{side}{i},115200n81,local"
    text = ""
    for i in range(s.pairs):
        if s.port:
            ends = f"tcp,127.0.0.1,{s.port}", device("A", 0)
            options += "    max-connections: 64\n"
        else:
            ends = f"conacc,{device('A', i)}", device("B", i)
        text += (f"connection: &c{i}\n  accepter: {ends[0]}\n"
                 f"  connector: {ends[1]}\n")
        if options:
            text += f"  options:\n{options}"
    return ["ser2net", "-d", "-u", "-c", s.write(text, "yaml")]


def ser2net_tuned(s):
    return ser2net(s, "    chardelay: false\n    dev-to-net-bufsize: 65536\n"
                      "    net-to-dev-bufsize: 65536\n")


def gensiot(s):
    return ["gensiot", "-i"] + [
        f"serialdev(nouucplock=true),{s.directory}/{side}{{I}},115200n81,local"
        for side in "AB"]


def asyncio(s):
    mode = "tcp" if s.port else "line" if s.mode == "line" else "raw"
    return [PYTHON, str(HERE / "peer_asyncio.py"), mode, str(s.directory),
            str(s.port or s.pairs)]


@dataclass
class Bridge:
    words: callable
    each: bool = False          # a process for each pair
    clients: int = 64           # of TCP, at most


BRIDGES = {LIMIT: Bridge(limit), OURS: Bridge(ours),
           "socat": Bridge(socat, each=True, clients=1),
           "ser2net": Bridge(ser2net), "tuned": Bridge(ser2net_tuned),
           "gensiot": Bridge(gensiot, each=True, clients=0),
           "asyncio": Bridge(asyncio)}


def installed():
    have = {"socat": "socat", "ser2net": "ser2net", "tuned": "ser2net",
            "gensiot": "gensiot"}
    names = [LIMIT, OURS] + [n for n, c in have.items() if shutil.which(c)]
    if subprocess.run([PYTHON, "-c", "import serial_asyncio"],
                      capture_output=True).returncode == 0:
        names.append("asyncio")
    return names


# --- the tests ---------------------------------------------------------------

@dataclass
class Figure:
    """A line of the table: what of a test's result, and what it should be."""
    key: str
    label: str
    unit: str
    more: bool = False          # is better
    added: bool = False         # what is more than that of the limit
    ratio: float = None         # to the limit, at least or at most
    value: float = None         # ours, at least or at most


@dataclass
class Test:
    name: str
    load: list
    figures: list
    setup: dict = field(default_factory=dict)
    peers: tuple = ()
    clients: int = 0
    pinned: bool = True
    trace: bool = False         # counts system calls, once
    alone: bool = False         # without the limit
    program: str = "load"


PEERS = ("socat", "ser2net", "tuned", "gensiot", "asyncio")
FLOW = ["flow", "--seconds", "0.6", "--warm", "0.15"]
PONG = ["pong", "--both", "--seconds", "1"]


def raw():
    for name, words in (("one way", []), ("both ways", ["--both"])):
        yield Test(f"raw {name}", FLOW + ["--format", "raw:4096"] + words, [
            Figure("mb_s", "", "MB/s", True, ratio=0.95),
            Figure("cpu_us", " CPU", "s/GB", ratio=1.07 if not words else None)],
            peers=PEERS)


def pong():
    yield Test("message of 16", PONG + ["--format", "raw:16"], [
        Figure("p50", " p50", "us", ratio=1.10),
        Figure("p99", " p99", "us"), Figure("p999", " p99.9", "us"),
        Figure("cpu_us", " CPU", "us", ratio=1.18)], peers=PEERS)


FRAMES = {"line": {16: 0.75, 64: 0.90, 256: 0.95}, "nmea": {32: 0.75, 64: 0.85},
          "mavlink": {24: 0.70, 66: 0.75, 267: None},
          "slip": {16: 0.70, 64: 0.80, 256: 0.90}}


def frames():
    for kind, sizes in FRAMES.items():
        other = "cobs" if kind == "slip" else kind
        name = "slip to cobs" if kind == "slip" else kind
        for size, ratio in sizes.items():
            yield Test(
                f"{name} {size}", FLOW + ["--format", f"{kind}:{size}",
                                          "--other", f"{other}:{size}"],
                [Figure("kframes_s", "", "k/s", True, ratio=ratio)],
                dict(mode=kind, framing=(kind, other)),
                ("asyncio",) if kind == "line" else ())


def pairs():
    # The last two for slower machines: a CPU's worth of small messages is soon reached.
    for n, size, goal in ((1, 64, None), (8, 64, None), (64, 64, 1.3),
                          (256, 64, 1.3), (256, 256, 1.3), (1000, 512, None)):
        p99, memory = (1000, 16) if n == 256 else (None, None)
        yield Test(
            f"{n} pair" + "s" * (n > 1) + f", messages of {size}",
            ["paced", "--both", "--seconds", "1.2", "--format", f"raw:{size}",
             "--ready", "30"],
            [Figure("cpu_us", " CPU", "us", ratio=goal),
             Figure("p50", " p50", "us"),
             Figure("p99", " p99", "us", value=p99),
             Figure("memory_mb", " memory", "MB", value=memory)],
            dict(pairs=n), {64: PEERS, 256: ("socat", "tuned")}.get(n, ())
            if size == 64 else ())


def tcp():
    for n, goal in ((1, 0.95), (8, 0.80), (32, None)):
        yield Test(f"to {n} client" + "s" * (n > 1),
                   FLOW + ["--format", "raw:4096"],
                   [Figure("mb_s", "", "MB/s", True, ratio=goal)],
                   peers=PEERS, clients=n)
    yield Test("to 8, one never reads",
               ["flow", "--seconds", "0.6", "--warm", "1.6", "--lazy",
                "--format", "raw:4096"], [Figure("mb_s", "", "MB/s", True)],
               peers=PEERS, clients=8)
    yield Test("tcp and back", PONG + ["--format", "raw:16"], [
        Figure("p50", " p50", "us", ratio=1.1), Figure("p99", " p99", "us")],
        peers=PEERS, clients=1)


def start():
    yield Test("start", ["start", "--both", "--seconds", "0.7"], [
        Figure("first_byte_ms", " to first byte", "ms", value=4),
        Figure("memory_mb", " memory", "MB", value=4),
        Figure("wakeups", " idle wake-ups", "1/s", value=0)], peers=PEERS)


def calls():
    yield Test("message of 16", PONG + ["--format", "raw:16"],
               [Figure("calls", " system calls", "", value=4)], peers=PEERS,
               trace=True)


def stall():
    yield Test("stalled 400 ms",
               ["flow", "--seconds", "0.6", "--stall", "400", "--format",
                "raw:4096"],
               [Figure("accepted_kb", " accepted", "kB", value=128)],
               peers=PEERS)


def unpinned():
    yield Test("unpinned one way", FLOW + ["--format", "raw:4096"],
               [Figure("mb_s", "", "MB/s", True)], peers=PEERS, pinned=False)
    yield Test("unpinned message of 16", PONG + ["--format", "raw:16"],
               [Figure("p50", " p50", "us", ratio=1.10)], peers=PEERS,
               pinned=False)


def commands():
    yield Test("2000 endpoints, commands and reloads",
               ["pong", "--both", "--seconds", "5", "--count", "1000000",
                "--format", "line:64", "--ready", "60"],
               [Figure("p50", " p50", "us"), Figure("p99", " p99", "us", value=5000),
                Figure("p999", " p99.9", "us"),
                Figure("held_ms", " held", "ms", value=5),
                Figure("warnings", " held, logged", "", value=0),
                Figure("commands_s", " commands", "1/s", True),
                Figure("reload_ms", " reload", "ms")],
               dict(mode="line", framing=("line", "line"), crowd=1998))


def masters_test(name, load, figures, gateway, **keys):
    return Test(name, load + ["--tcp", str(gateway.tcp), "--rtu", str(gateway.rtu)],
                figures, dict(gateway=gateway), program="masters", **keys)


def gateway():
    """
    The limit is a single master with the bus to itself, which keeps the same silence
    between frames.
    """
    def fair(kind):
        return Figure(f"jain_{kind}", f" Jain's index, {kind.upper()}", "", True,
                      value=0.99)
    rate = Figure("requests_s", " requests", "1/s", True)
    added = [Figure("p50", " added p50", "us", added=True, value=60),
             Figure("p99", " added p99", "us", added=True)]
    few = ["--requests", "5000"]
    # Without that silence, in which a request would wait.
    yield masters_test("1 master at leisure", few + ["--gap", str(5 * GAP_US)],
                       added, Gateway(1))
    yield masters_test("1 master", few, [rate], Gateway(1))
    yield masters_test("8 masters", few, [
        rate, fair("tcp"), Figure("turn_p50", " turn p50", "us"),
        Figure("turn_p99", " turn p99", "us")], Gateway(8))
    yield masters_test(
        "32 masters", ["--requests", "40000", "--window", "8"],
        [rate, fair("tcp"), fair("rtu"), Figure("cpu_us", " CPU", "us")],
        Gateway(16, 16))
    yield masters_test(
        "line of 115200 baud", ["--requests", "500", "--baud", "115200"],
        [Figure("busy_percent", " in use", "%", True, value=95)],
        Gateway(8, bus="baud = 115200\n"))
    yield masters_test(
        "one byte in 300 flipped", ["--requests", "2000", "--flip", "300"],
        [rate, Figure("refused", " exceptions", "")],
        Gateway(8, route="answer_timeout = 20ms\n"), alone=True)
    yield masters_test(
        "answers with 16 ms pauses", ["--requests", "50", "--pause", "16"], [rate],
        Gateway(8, bus="baud = 4000000\nidle = 25ms\n"), alone=True)


SUITES = {f.__name__: f for f in
          (raw, pong, frames, pairs, tcp, start, calls, stall, unpinned, commands,
           gateway)}


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
    return name in bridges and test.clients <= BRIDGES[name].clients and \
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
            for name in [LIMIT, OURS, *test.peers]:
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
    return got >= goal if figure.more else got <= goal


def wrong(samples, test, bridge):
    """Bytes, or requests, that were lost, came twice, were others, or out of order."""
    faults = "lost", "doubled", "bad", "disordered", "stale"
    return int(sum(s.get(fault, 0) for fault in faults for s in samples
                   if s["test"] == test and s["bridge"] == bridge))


def make_row(test, figure, samples, bridges):
    mine = values(samples, test.name, OURS, figure.key)
    base = values(samples, test.name, LIMIT, figure.key)
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
    row["reached"] = reached(figure, row)
    for name in bridges[2:]:
        its = values(samples, test.name, name, figure.key)
        if its:
            row["peers"][name] = dict(
                value=statistics.median(its.values()),
                wrong=wrong(samples, test.name, name))
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
    print("\nours: medians of the rounds; ratio: to the limit of the same round;"
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
