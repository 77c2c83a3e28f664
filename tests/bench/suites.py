"""What is measured, and what it should be."""
import subprocess
from dataclasses import dataclass, field

from bridges import CERTIFICATE, GAP_US, KEY, LIMIT, RAW, Gateway


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
    above: tuple = ()           # other bridges that have less


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
    measure: str = LIMIT        # the bridge to which ratios are
    program: str = "load"


PEERS = ("socat", "ser2net", "tuned", "gensiot", "asyncio", "stunnel")
TLS_PEERS = ("socat", "ser2net", "tuned", "stunnel")
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


def rfc2217():
    keys = dict(setup=dict(protocol="rfc2217"), measure=RAW)
    for n in (1, 8):
        yield Test(f"rfc2217 to {n} client" + "s" * (n > 1),
                   FLOW + ["--format", "raw:4096"],
                   [Figure("kframes_s", "", "k/s", True, ratio=0.90)],
                   peers=("ser2net", "tuned"), clients=n, **keys)
    yield Test("rfc2217 and back", PONG + ["--format", "raw:16"], [
        Figure("p50", " p50", "us", ratio=1.05), Figure("p99", " p99", "us")],
        peers=("ser2net", "tuned"), clients=1, **keys)


def tls():
    keys = dict(setup=dict(protocol="tls"), clients=1, peers=TLS_PEERS)
    make_certificate()
    for name, words in (("from the line", []), ("to the line", ["--back"]),
                        ("both ways", ["--both"])):
        yield Test(f"tls {name}", FLOW + ["--format", "raw:4096"] + words,
                   [Figure("mb_s", "", "MB/s", True, ratio=0.90,
                           above=("socat", "stunnel"))], **keys)
    yield Test("tls and back", PONG + ["--format", "raw:16"], [
        Figure("p50", " p50", "us"), Figure("p99", " p99", "us")], **keys)
    yield Test("tls and back, beside raw", PONG + ["--format", "raw:16"],
               [Figure("p50", " p50", "us", ratio=1.15)], measure=RAW,
               **dict(keys, peers=()))


def make_certificate():
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365", "-subj",
         "/CN=bench", "-keyout", str(KEY), "-out", str(CERTIFICATE)],
        check=True, capture_output=True)


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
          (raw, pong, frames, pairs, tcp, rfc2217, tls, start, calls, stall, unpinned,
           commands, gateway)}
