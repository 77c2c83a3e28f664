"""
The manual pages, the sample configuration and the examples against the program: what one
says, the other knows, and back.
"""
import re
import shutil
import subprocess

import pytest
import serial as pyserial

from certificates import Authority
from ctl import ctl
from harness import (ROOT, Daemon, Pty, expect, free_port, pump, route, run, section,
                     serial, tcp_server, wait_for)
from test_gateway import Device
from test_modbus import cable, holds, read, server  # noqa: F401
from test_modbus_tcp import mbap

ALL = "\n".join(f.read_text() for f in sorted((ROOT / "src").glob("*/*.[ch]")))
CONF5 = (ROOT / "man/ttybridge.conf.5").read_text()
CONTROL7 = (ROOT / "man/ttybridge-control.7").read_text()
PROGRAMS = {run: "ttybridged.8", ctl: "ttybridgectl.1"}
SAMPLE = (ROOT / "conf/ttybridge.conf").read_text()
EXAMPLES = sorted((ROOT / "conf/examples").glob("*.conf"))


# --- what the program has ----------------------------------------------------

def strings(array):
    """The words of a table of strings."""
    body = re.search(rf"\b{array}\[\] = \{{(.*?)\}};", ALL, re.S)[1]
    return re.findall(r'"([^"]*)"', body)


def pieces(body):
    """key -> text of its row of the body of a key table."""
    for name, macro in re.findall(
            r"#define (\w+_KEY_\w+)(.*?[^\\])\n", ALL, re.S):
        body = re.sub(rf"\b{name}\b", lambda _: macro, body)
    return {re.match(r'\.name = "(\w+)"', row)[1]: row
            for row in re.split(r"(?=\.name = \")", body)[1:]}


def rows(body):
    """key -> (default or None, words) of the body of a key table."""
    found = {}
    for key, row in pieces(body).items():
        default = re.search(r'\.def = "([^"]*)"', row)
        words = re.search(r"\.words = (\w+)", row)
        found[key] = (
            default and default[1], strings(words[1]) if words else [])
    return found


BODIES = dict(re.findall(r"struct key (\w+)\[\] = \{(.*?)\n\};", ALL, re.S))
TABLES = {name: rows(body) for name, body in BODIES.items()}
# The keys that take effect while an endpoint is open.
IN_PLACE = {name: [key for key, row in pieces(body).items() if ".in_place = true" in row]
            for name, body in BODIES.items()} | {"": []}
TYPES = dict(re.findall(
    r'struct endpoint_ops endpoint_\w+ = \{\s*\.type = "([\w-]+)",'
    r'\s*(?:\.keys = (\w+))?', ALL))
FRAMING_TABLES = {
    re.search(r'\.name = "([\w-]+)"', body)[1]:
    next(iter(re.findall(r"\.keys = (\w+)", body)), "")
    for body in re.findall(r"struct framing framing_\w+ = \{(.*?)\n\};", ALL, re.S)}
COMMANDS = {name: ("".join(re.findall('"([^"]*)"', usage)), "full = true" in rest)
            for name, usage, rest in
            re.findall(r'\.name = "(\w+)",\s*\.usage = ((?:"[^"]*"\s*)+),(.*?)\}',
                       ALL, re.S)}
# What a command with several actions needs full access for.
ACTIONS = {name: full == "true" for name, full in
           re.findall(r'\{ "(\w+)", (true|false), \w+, \w+ \}', ALL)}
WORDS = re.compile("[a-z]+( -?[a-z]+)*")


def uses():
    """The words of each use of a command -> its arguments, needs full access."""
    found = {}
    for usage, full in COMMANDS.values():
        first, *others = usage.split(" | ")
        command = first.split()[0]
        for use in [first] + [f"{command} {other}" for other in others]:
            words = WORDS.match(use)[0]
            found[words] = (re.findall(r"[A-Z][A-Z0-9]*|\.\.\.", use),
                            full or ACTIONS.get(words.split()[-1], False))
    return found


def framings():
    return [line.split()[0] for line in
            run("--list-framings").stdout.splitlines()]


def keys_of(table):
    return TABLES[table] if table else {}


# --- what the manual says ----------------------------------------------------

def parts(page, start="Sh", inside=""):
    """Title -> text of the sections (Sh, or Ss of a section) of a page."""
    if inside:
        page = parts(page)[inside]
    pieces = re.split(rf"(?m)^\.{start} (.*)\n", page)
    return dict(zip(pieces[1::2], pieces[2::2]))


def items(text, macro="Cm"):
    """Name -> text of the items of a part."""
    pieces = re.split(rf"(?m)^\.It {macro} (\S+).*\n", text)
    return dict(zip(pieces[1::2], pieces[2::2]))


SECTIONS = parts(CONF5, "Ss", "SECTIONS")
FRAMINGS = parts(CONF5, "Ss", "FRAMINGS")


def documented(keys, text):
    """The items of a part are the keys of a table, with defaults and words."""
    told = items(text)
    assert sorted(told) == sorted(keys)
    for key, (default, words) in keys.items():
        said = re.search(r"The default is\n\.(?:Cm|Pa) (.*?) \.", told[key])
        assert (said and said[1]) == default, key
        for word in words:
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])",
                             told[key]), f"{key}: {word}"


def test_the_tables_were_found():
    assert len(TABLES) >= 15 and sum(map(len, TABLES.values())) >= 70
    assert len(TYPES) >= 7 and len(COMMANDS) >= 18
    assert set(ACTIONS) == {"start", "stop", "status", "stream", "export", "drop"}
    assert sorted(FRAMING_TABLES) == sorted(framings())


@pytest.mark.parametrize("title, tables", [
    ("[daemon]", ["daemon_keys"]),
    ("[control NAME]", ["control_keys"]),
    ("[http NAME]", ["http_keys"]),
    ("Every endpoint", ["endpoint_common_keys", "framing_key",
                        "framing_common_keys"]),
    ("[route NAME]", ["route_keys"]),
])
def test_keys_are_in_the_manual(title, tables):
    keys = {}
    for table in tables:
        keys.update(TABLES[table])
    documented(keys, SECTIONS[title])


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_keys_of_endpoints_are_in_the_manual(kind):
    documented(keys_of(TYPES[kind]), SECTIONS[f"[{kind} NAME]"])


def test_keys_that_need_an_endpoint_to_be_opened_again_are_in_the_manual():
    told = re.split(r"(?m)^\.It ([\w-]+)\n", parts(CONF5)["CHANGES WHILE THE DAEMON RUNS"])
    told = dict(zip(told[1::2], told[2::2]))
    for kind, table in TYPES.items():
        again = [key for key in keys_of(table) if key not in IN_PLACE[table]]
        said = re.match(r"\.Cm ([\w ,]+?),?\n", told[kind]) if again else None
        assert (said[1].replace(" ", "").rstrip(",").split(",") if said else []) == again, kind


def test_the_manual_has_no_other_sections():
    assert set(SECTIONS) == {f"[{kind} NAME]" for kind in TYPES} | {
        "[daemon]", "[control NAME]", "[http NAME]", "[route NAME]", "Every endpoint"}


def test_framings_are_in_the_manual_in_their_order():
    assert list(FRAMINGS) == framings()


@pytest.mark.parametrize("name", sorted(FRAMING_TABLES))
def test_keys_of_framings_are_in_the_manual(name):
    documented(keys_of(FRAMING_TABLES[name]), FRAMINGS[name])


def test_the_reasons_of_lost_frames_are_in_the_manual():
    for array, title in (("bad_reason_names", "FRAMINGS"),
                         ("drop_reason_names", "DELIVERY")):
        body = re.search(rf"\b{array}\[\w+\] = \{{(.*?)\}};", ALL, re.S)[1]
        reasons = re.findall(r'= "([^"]*)"', body)
        assert len(reasons) >= 5
        text = parts(CONF5)[title]
        for reason in reasons:
            assert re.search(rf"(?m)^\.Cm {reason}\b", text), reason


def test_commands_are_in_the_manual_as_they_are_used():
    told = {}
    for line in re.findall(r"(?m)^\.It Ic (.*)$", CONTROL7):
        line = line.replace("Fl ", "-")
        name = WORDS.match(line)[0]
        words = [w for w in re.sub(r"\bFl \w", "", line[len(name):]).split()
                 if w not in ("Ar", "Op", "Oo", "Oc", "Pq", "Ns", "-", "Cm", "Ic", "Li", "No",
                              "match", "=", "ask", r"\&;")]
        told[name] = ([w.upper() for w in words if w != "full" and w[0] != "-"],
                      "full" in words)
    assert told == uses()


def options_of_help(program):
    """(letter or "", name, has an argument) of each option in --help."""
    return sorted((letter or "", name, bool(argument)) for letter, name, argument in re.findall(
        r"(?m)^  (?:-(\w),|   ) --([\w-]+)(?: ([A-Z:]+))?", program("--help").stdout))


@pytest.mark.parametrize("program", PROGRAMS, ids=PROGRAMS.values())
def test_options_are_in_the_manual(program):
    page = (ROOT / "man" / PROGRAMS[program]).read_text()
    told = sorted((letter, name, bool(argument)) for letter, name, argument in re.findall(
        r"(?m)^\.It Fl (?:(\w) , )?-([\w-]+)( Ar .*)?$", page))
    assert len(told) >= 9
    assert told == options_of_help(program)
    usage = re.match(r"usage:.*\n( .*\n)*", program("--help").stdout)[0]
    synopsis = parts(page)["SYNOPSIS"]
    for name in re.findall(r"--([\w-]+)", usage):
        assert re.search(rf"(Fl|\|) -{name}\b", synopsis), name


@pytest.mark.parametrize("program", PROGRAMS, ids=PROGRAMS.values())
def test_help_fits_on_a_screen(program):
    lines = program("--help").stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80


@pytest.mark.parametrize("page, rows", [("ttybridge.conf.5", r"(?m)^\.It Cm "),
                                        ("ttybridge-control.7", r"(?m)^\.It Li ")])
def test_the_tables_are_those_that_are_generated(page, rows):
    listed = run("--list-keys").stdout + run("--list-commands").stdout
    file = ROOT / "man" / page
    made = subprocess.run(
        ["awk", "-f", ROOT / "conf/man-tables.awk", "-", file], input=listed, check=True,
        stdout=subprocess.PIPE, text=True).stdout
    table, = re.findall(r'(?s)\n\.\\" generated: \w+\n(.*?)\n\.\\" end of what is', made)
    assert len(re.findall(rows, table)) >= 30
    assert made == file.read_text(), "`make man-tables` brings it up to date"


def test_every_key_and_command_is_listed():
    listed = run("--list-keys").stdout
    heads = [f"[{kind}]" for kind in ("daemon", "control NAME", "http NAME", "route NAME")] + \
        [f"[{kind} NAME]" for kind in TYPES] + ["every endpoint"] + \
        [f"framing = {name}" for name, table in FRAMING_TABLES.items() if table]
    assert sorted(re.findall(r"(?m)^\S.*$", listed)) == sorted(heads)
    found = re.findall(r"(?m)^  (\w+) +(\S+)  +(.+?)  +(\S.*)$", listed)
    assert len(found) == len(re.findall(r"(?m)^  ", listed))
    told = sorted((key, default) for key, default, _, _ in found)
    # The keys that framings share are listed with each of them.
    tables = ["daemon_keys", "control_keys", "http_keys", "route_keys", "endpoint_common_keys",
              "framing_key", "framing_common_keys", *TYPES.values(), *FRAMING_TABLES.values()]
    assert told == sorted((key, default or "-") for table in tables
                          for key, (default, _) in keys_of(table).items())
    assert [line.split()[0] for line in run("--list-commands").stdout.splitlines()] == \
        [usage.split()[0] for usage, _ in COMMANDS.values()]


def test_attributes_are_in_the_manual(pty, daemon):
    port = free_port()
    d = daemon(serial("a", pty("a"), framing="modbus-rtu", echo="yes") +
               tcp_server("lan", port, framing="modbus-tcp") +
               route("shared", from_="lan", to="a", exchange="modbus"))
    text = parts(CONTROL7)["ATTRIBUTES"]
    named = set(re.findall(r"[a-z][a-z0-9_]+", " ".join(
        re.findall(r"(?m)^\.(?:It )?Cm (.*)$", text))))
    named |= {f"{name}_bytes" for name in named if name.startswith("bad_")}
    assert {"exception_01", "exception_0b"} <= named
    named |= {f"exception_{code:02x}" for code in range(1, 12)}
    keys = {key for table in TABLES.values() for key in table}
    for line in d.control("list"):
        name = line.split(" = ")[0].rpartition("/")[2]
        assert name in named | keys, line


# --- the sample configuration ------------------------------------------------

def sample_keys():
    """(section head, framing, key, value) of each key, commented out or not."""
    head, framing = "", "raw"
    for line in SAMPLE.splitlines():
        if name := re.match(r"# ([\w-]+)(?:\t|$)", line):
            if name[1] in framings():
                framing = name[1]
        elif found := re.match(r"#?(\[.*\])$", line):
            head = found[1]
        elif found := re.match(r"#?(\w+) = (.*)$", line):
            yield head, framing, found[1], found[2]
        elif line.startswith("# --- ") and "framings" not in line:
            head = "[serial any]" if "every endpoint" in line else head
        elif line.startswith("# What more a serial port"):
            head = "[serial any]"
        elif line.startswith("# --- framings"):
            head = "[serial any]"


NEEDS = {"serial": "device = /dev/tty{n}", "tcp-server": "listen = {n}",
         "tcp-client": "connect = localhost:1", "udp": "send_to = {n}",
         "mqtt": "broker = localhost:1\nsubscribe = x",
         "unix-server": "listen = /tmp/{n}", "unix-client": "connect = /tmp/{n}",
         "control": "listen = /tmp/c{n}", "http": "listen = {n}",
         "route": "from = ar1\nto = ar2"}
FRAMING_NEEDS = {"delimiter": "delimiter = \\x03\n", "fixed": "frame_size = 9\n"}


IN_GROUP = "listen = *:60001\nallow = 10.0.0.0/8\n"
KEY_NEEDS = {"checksum_poly": "checksum = crc16\n", "multicast": IN_GROUP,
             "password_file": "user = boat1\n",
             "line": "protocol = telnet\n",
             "rfc2217_deny": "protocol = rfc2217\nline = ar1\n",
             **dict.fromkeys(("interface", "ttl", "loopback"),
                             IN_GROUP + "multicast = 239.192.0.1\n")}
TLS_KEYS = {
    kind: dict(tls="yes", tls_cert=f"/etc/ttybridge/{name}.crt",
               tls_key=f"/etc/ttybridge/{name}.key")
    for kind, name in (("control", "server"), ("http", "server"), ("tcp-server", "server"),
                       ("tcp-client", "client"), ("mqtt", "client"))}
ANY_KEYS = {"answer_match", "answer_match_hex", "answer_frames", "no_answer"}
NEED_TLS = {"tls_cert", "tls_key", "tls_ca", "tls_name", "tls_verify", "handshake_timeout", "full",
            "roles"}


def own_files(text, directory):
    """The text with certificates, and a token, of the test's own."""
    (directory / "token").write_text("0123456789abcdef\n")
    (directory / "password").write_text("secret\n")
    ca = Authority(directory)
    for name in ("server", "client"):
        ca.make(name)
    return text.replace("/etc/ttybridge/", f"{directory}/")


EXCHANGE_KEYS = ANY_KEYS | {
    "exchange", "answer_timeout", "late_guard", "request_timeout", "min_gap", "retries",
    "window", "priority", "unit_offset"}


PREFER_KEYS = {"prefer", "live_match", "fail_after", "recover_after"}


def test_every_key_is_in_the_sample_configuration():
    told = {(key, value) for _, _, key, value in sample_keys()}
    for table, keys in TABLES.items():
        for key, (default, _) in keys.items():
            assert key in {k for k, _ in told}, f"{key} of {table}"
            if default is not None and key != "framing":
                assert (key, default) in told, f"{key} of {table}"
    for framing in framings():
        assert re.search(rf"\b{framing}\b", SAMPLE), framing
    for kind in TYPES:
        assert re.search(rf"(?m)^#?\[{kind} \w+\]", SAMPLE), kind


def test_every_line_of_the_sample_configuration_is_right(directory):
    text = ["[serial ar1]\ndevice = /dev/ar1\n[serial ar2]\ndevice = /dev/ar2"
            "\n[echo lan]\n[serial master]\ndevice = /dev/master\nframing = modbus-rtu\n"]
    daemon_keys = ["[daemon]\n"]
    for n, (head, framing, key, value) in enumerate(sample_keys(), 10):
        kind = head.strip("[]").split()[0]
        if kind == "daemon":
            daemon_keys.append(f"{key} = {value}\n")
            continue
        needs = NEEDS.get(kind, "").format(n=n).split("\n")
        needs = [x for x in needs if x.split(" = ")[0] != key]
        if key in ("usb", "between"):
            needs = []
        if kind == "route" and key in EXCHANGE_KEYS:
            text.append(f"[serial bus{n}]\ndevice = /dev/bus{n}\n"
                        "framing = modbus-rtu\n")
            needs = ["from = master", f"to = bus{n}"]
            needs += [] if key == "exchange" else [
                f"exchange = {'any' if key in ANY_KEYS else 'modbus'}"]
            value = value.replace("ar1", "master")
        if key in PREFER_KEYS:
            needs = ["from = ar1 ar2", "to = lan master"]
            needs += [] if key == "prefer" else ["prefer = from"]
        if key in ("listen", "device", "link"):
            value = re.sub(r"\w+$", lambda m: m[0][:2] + str(n), value)
        if kind == "control" and key in NEED_TLS | {"allow"}:
            needs = [f"listen = {n}"]
        if key in NEED_TLS:
            needs += [f"{k} = {v}" for k, v in TLS_KEYS[kind].items() if k != key]
        if key in ("full", "roles"):
            needs.append("tls_ca = /etc/ttybridge/ca.crt")
        text.append(f"[{kind} x{n}]\n" + "".join(x + "\n" for x in needs))
        if kind == "serial" and key != "framing":
            own = FRAMING_NEEDS.get(framing, "")
            text.append(f"framing = {framing}\n" +
                        ("" if own.startswith(key + " ") else own))
        text.append(KEY_NEEDS.get(key, "") + f"{key} = {value}\n")
    file = directory / "all.conf"
    file.write_text(own_files("".join(daemon_keys + text), directory))
    done = run("-c", file, "--check")
    faults = [line for line in done.stderr.splitlines() if "warning: " not in line]
    assert (done.returncode, faults) == (0, [])


@pytest.mark.parametrize("file", [ROOT / "conf/ttybridge.conf", *EXAMPLES],
                         ids=lambda f: f.name)
def test_the_files_that_we_ship_are_right(file, directory):
    text = file.read_text()
    if re.search("(?m)^tls = yes", text):
        file = directory / file.name
        file.write_text(own_files(text, directory))
    done = run("-c", file, "--check")
    assert (done.returncode, done.stderr) == (0, "")


# --- the examples do what they say -------------------------------------------

@pytest.fixture
def example(directory, daemon):
    """Starts an example on pseudo-terminals; section name -> Pty."""
    made = {}

    def start(name, **replaced):
        text = (ROOT / "conf/examples" / name).read_text()
        for old, new in replaced.items():
            text = re.sub(rf"(?m)^{old} = .*", f"{old} = {new}", text)
        text = re.sub(r"(?m)^\[control[^[]*", "", text)
        for kind, head, body in re.findall(
                r"(?m)^\[(serial) (\w+)\]\n(.*(?:\n(?!\[).*)*)", text):
            made[head] = Pty(directory / f"{head}.tty")
            text = text.replace(body, re.sub(
                r"(?m)^(device|usb) = .*", f"device = {made[head].link}", body))
        text = text.replace("/run/ttybridge/", f"{directory}/")
        text = re.sub(r"(?m)^(listen = 127.0.0.1:)\d+",
                      lambda m: m[1] + str(free_port()), text)
        text = re.sub(r"(?m)^group = .*\n", "", text)
        return daemon(text, settled=False), made
    yield start
    for p in made.values():
        p.close()


def port_of(d, name):
    return int(d.get(f"{name}/address").rpartition(":")[2])


def sentence(text):
    total = 0
    for byte in text.encode():
        total ^= byte
    return b"$%s*%02X\r\n" % (text.encode(), total)


def cobs(payload):
    """Without blocks of 254 bytes or more."""
    return b"".join(bytes([len(x) + 1]) + x
                    for x in payload.split(b"\0")) + b"\0"


def test_two_arduinos_are_bridged_and_heard(example, connect):
    d, ttys = example("two-arduinos.conf")
    d.wait_state("sensor", "up")
    d.wait_state("motor", "up")
    listener = connect(port_of(d, "listen"))
    wait_for(lambda: len(d.json("peers")) == 1)
    # The check value of CRC-16/CCITT-FALSE over these digits is 29B1.
    wire = cobs(b"123456789\x29\xb1")
    ttys["sensor"].send(b"123456789\r\n")
    expect(ttys["motor"], wire, [ttys["sensor"]])
    expect(listener, b"123456789\r\n")
    ttys["motor"].send(wire)
    expect(ttys["sensor"], b"123456789\n", [ttys["motor"]])
    listener.send(b"nobody hears this\n")
    pump([listener], lambda: d.number("listen/rx_frames") == 1)
    assert d.number("sensor/tx_frames") == 1


def test_a_boat_gets_its_sentences_where_they_belong(
        example, connect, open_tty, directory):
    d, ttys = example("nmea-boat.conf")
    for name in ttys:
        d.wait_state(name, "up")
    navigation = connect(port_of(d, "navigation"))
    wait_for(lambda: len(d.json("peers")) == 1)
    plotter = open_tty(directory / "plotter")
    d.wait_state("plotter", "up")
    gga = sentence("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,"
                   "M,,")
    ais = b"!AIVDM,1,1,,A,13u?etPv2;0n:dDPwUM1U1Cb069D,0*24\r\n"
    ttys["gps"].send(b"$GPRMC,garbage*00\r\n" + gga)
    ttys["ais"].send(ais)
    ttys["instruments"].send(b"$HEHDT,90.0,T\r\n")
    streams = [*ttys.values(), navigation, plotter]
    pump(streams, lambda: len(navigation.lines()) == 3)
    hdt = sentence("HEHDT,90.0,T")
    assert sorted(navigation.take().splitlines(True)) == sorted(
        [gga, ais, hdt])
    pump(streams, lambda: len(plotter.lines()) == 2)
    assert sorted(plotter.take().splitlines(True)) == sorted([gga, hdt])
    assert d.number("gps/bad_checksum") == 1
    apb = sentence("ECAPB,A,A,0.10,R,N,V,V,011,M,DEST,011,M,011,M")
    plotter.send(sentence("ECXXX,1") + apb)
    expect(ttys["autopilot"], apb, streams)


def test_ports_are_offered_and_used_over_the_network(directory, daemon, pty, open_tty):
    """The example's two sides, connected to each other."""
    meter, port = pty("meter"), free_port()
    text = (ROOT / "conf/examples/remote-port.conf").read_text()
    for old, new in (("/dev/ttyUSB0", str(meter.link)), ("192.168.1.20:2217", f"127.0.0.1:{port}"),
                     ("127.0.0.1:2217", f"127.0.0.1:{port}"), ("/run/ttybridge/", f"{directory}/"),
                     ("127.0.0.1:5010", f"127.0.0.1:{free_port()}")):
        assert old in text
        text = text.replace(old, new)
    d = daemon(text, settled=False)
    d.wait_state("plc", "up")
    program = open_tty(directory / "plc")
    d.wait_state("meter", "up")
    everything = bytes(range(256))
    program.send(everything)
    expect(meter, everything, [program])
    meter.send(everything)
    expect(program, everything, [meter])
    assert meter.speed() == (19200, 19200)


def test_a_board_is_flashed_while_others_watch(example, connect):
    d, ttys = example("esp-flash.conf")
    board = ttys["esp"]
    d.wait_state("esp", "up")
    watcher = connect(port_of(d, "console"))
    wait_for(lambda: len(d.json("peers")) == 1)
    tool = pyserial.serial_for_url(
        f"rfc2217://127.0.0.1:{port_of(d, 'flash')}", baudrate=115200, timeout=10)
    try:
        tool.baudrate = 460800
        assert board.speed() == (460800, 460800)
        tool.write(b"\xc0image\xff\xc0")
        expect(board, b"\xc0image\xff\xc0")
        board.send(b"\xc0done\xff\xc0")
        assert tool.read(7) == b"\xc0done\xff\xc0"
        expect(watcher, b"\xc0done\xff\xc0", [board])
        watcher.send(b"nobody hears this")
        pump([watcher], lambda: d.number("console/rx_bytes") == 17)
    finally:
        tool.close()
    wait_for(lambda: board.speed() == (115200, 115200))
    assert d.number("esp/tx_bytes") == 8


def test_modbus_goes_from_ascii_to_rtu_and_back(example, connect, directory):
    d, ttys = example("modbus-lab.conf")
    d.wait_state("bus", "up")
    d.wait_state("controller", "up")
    program = connect(directory / "modbus")
    wait_for(lambda: len(d.json("peers")) == 1)
    streams = [*ttys.values(), program]
    request, other = bytes.fromhex("01030000000a"), b"\x11\x03\0\x6b\0\x03"
    ttys["controller"].send(b":01030000000AF2\r\n")
    expect(ttys["bus"], request + b"\xc5\xcd", streams)
    expect(program, cobs(request), streams)
    ttys["bus"].send(other + b"\x76\x87")
    expect(ttys["controller"], b":1103006B00037E\r\n", streams)
    expect(program, cobs(other), streams)
    program.send(cobs(b"\x09\x06\0\1\0\1") + cobs(b"\x09\x03\0\1\0\1"))
    pump(streams, lambda: len(ttys["bus"].received) >= 8)
    assert ttys["bus"].take()[:-2] == b"\x09\x03\0\1\0\1"
    assert d.number("bus/tx_frames") == 2


def mbpoll(port, unit, *values):
    """The registers 1 to 10 of a unit, or what happens when these are written there."""
    options = [] if values else ["-c", "10"]
    return subprocess.run(
        [shutil.which("mbpoll"), "-q", "-1", "-m", "tcp", "-p", str(port), "-a", str(unit),
         "-r", "1", "-o", "5", *options, "127.0.0.1", *map(str, values)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60).stdout


def registers(output):
    return [int(v) for v in re.findall(r"\[\d+\]:\s+(\d+)", output)]


def test_a_gateway_has_two_buses_and_masters_of_two_kinds(
        example, pty, cable, server):
    d, ttys = example("modbus-gateway.conf", answer_timeout="5s")
    for name in ttys:
        d.wait_state(name, "up")
    for name, unit in ("meters", 3), ("pumps", 2):
        far = pty(f"{name}.far")
        cable(ttys[name], far)
        server(far, unit)
    masters, viewers = port_of(d, "masters"), port_of(d, "viewers")
    assert registers(mbpoll(masters, 3)) == list(range(3000, 3010))
    assert registers(mbpoll(viewers, 3)) == list(range(3000, 3010))
    # Unit 2 of the heat pumps is 102, to a master on a serial line as well.
    assert "Written 1 references" in mbpoll(masters, 102, 77)
    assert registers(mbpoll(viewers, 102)) == [77, *range(2001, 2010)]
    ttys["plc"].send(read(102))
    expect(ttys["plc"], holds(102, 77))
    # Those who only read are refused anything else, and a unit of no bus is nowhere.
    assert "Illegal function" in mbpoll(viewers, 102, 78)
    assert "Gateway path unavailable" in mbpoll(masters, 50)
    assert registers(mbpoll(viewers, 102))[0] == 77
    routes = [d.number(f"routes/{name}/requests")
              for name in ("meters", "view_meters", "pumps", "view_pumps")]
    assert routes == [1, 1, 2, 2]
    assert d.number("routes/view_pumps/refused") == 1


def test_a_device_with_one_connection_has_many_masters(example, connect):
    device = Device()
    try:
        d, _ = example("modbus-proxy.conf", connect=f"127.0.0.1:{device.port}",
                       answer_timeout="5s")
        device.accept()
        one, two = connect(port_of(d, "masters")), connect(port_of(d, "masters"))
        one.send(b"".join(mbap(read(1, n), n) for n in range(3)))
        two.send(mbap(read(1, 9), 0))
        pump([one, two], lambda: not one.outgoing and not two.outgoing)
        # All four are awaiting their answers, which come in another order.
        for number, data in [device.request() for _ in range(4)][::-1]:
            device.link.sendall(mbap(holds(1, data[9]), number))
        expect(two, mbap(holds(1, 9), 0))
        expect(one, b"".join(mbap(holds(1, n), n) for n in (2, 1, 0)))
    finally:
        device.close()


class Radio:
    """Answers what comes in on a line as a radio of Kenwood does."""

    def __init__(self, tty):
        self.tty, self.frequency, self.commands = tty, b"00014074000", []

    def turn(self):
        *commands, rest = self.tty.take().split(b";")
        self.tty.received += rest
        for command in commands:
            self.commands.append(command)
            if command == b"FA":
                self.tty.send(b"FA" + self.frequency + b";")
            elif command == b"SM0":
                self.tty.send(b"SM00015;")
            elif command.startswith(b"FA"):
                self.frequency = command[2:]


def test_two_programs_share_a_radio(example, connect, open_tty, directory):
    d, ttys = example("cat-radio.conf", answer_timeout="20s")
    d.wait_state("radio", "up")
    logger, other = open_tty(directory / "logger"), connect(port_of(d, "network"))
    d.wait_state("logger", "up")
    wait_for(lambda: len(d.json("peers")) == 1)
    radio = Radio(ttys["radio"])
    streams = [ttys["radio"], logger, other]

    def until(logger_has, other_has):
        def both():
            radio.turn()
            return len(logger.received) >= len(logger_has) and \
                len(other.received) >= len(other_has)
        pump(streams, both)
        assert (logger.take(), other.take()) == (logger_has, other_has)

    # Each gets the answers to its own commands, although they ask at the same time.
    logger.send(b"FA;SM0;")
    other.send(b"SM0;FA;SM0;")
    until(b"FA00014074000;SM00015;", b"SM00015;FA00014074000;SM00015;")
    # What sets something is not answered, and nothing waits for it.
    other.send(b"AI2;FA00007030000;FA;")
    until(b"", b"FA00007030000;")
    # What the radio sends unasked goes to both.
    ttys["radio"].send(b"FA00021074000;")
    until(b"FA00021074000;", b"FA00021074000;")
    assert sorted(radio.commands) == sorted(
        [b"FA", b"SM0", b"SM0", b"FA", b"SM0", b"AI2", b"FA00007030000", b"FA"])
    assert d.number("routes/cat/answers") == 6
    assert d.number("routes/cat/timeouts") == 0
    assert d.number("routes/cat/foreign") == 1


def test_a_radio_is_not_blocked_by_a_stale_client(example, connect):
    d, ttys = example("zigbee.conf", flow="none")
    radio, port = ttys["radio"], port_of(d, "zigbee")
    d.wait_state("radio", "up")
    stale = connect(port)
    stale.send(b"\x1a\xc0\x38\xbc\x7e")
    expect(radio, b"\x1a\xc0\x38\xbc\x7e", [stale])
    newest = connect(port)
    wait_for(lambda: d.number("zigbee/peers") == 2)
    stale.send(b"late")
    d.wait_number("zigbee/refused_bytes", 4)
    newest.send(b"\x1a\xc0\x38\xbc\x7e")
    expect(radio, b"\x1a\xc0\x38\xbc\x7e", [newest])
    radio.send(b"\x1a\xc1\x02\x0b\x0a\x52\x7e")
    for client in (newest, stale):
        expect(client, b"\x1a\xc1\x02\x0b\x0a\x52\x7e", [radio])
    others = [connect(port) for _ in range(3)]
    pump([stale], lambda: stale.eof)
    assert not any(c.eof for c in [newest, *others])
