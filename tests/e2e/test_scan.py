"""scan: which units of a Modbus bus answer, while its masters are served."""
import json
import re

import pytest

from harness import (expect, flush, free_port, pump, route, section, serial, tcp_server,
                     wait_for)
from test_control import refused
from test_gateway import device  # noqa: F401
from test_handover import restart
from test_modbus import RTU, every_wait_is_told, holds, masters, read, rtu, shared  # noqa: F401
from test_modbus_tcp import ascii_of, mbap

TIME = r"\d[\d.]*(us|ms|s)"
ASCII = dict(framing="modbus-ascii", baud=115200)


class Units:
    """The far end of a bus: what each unit answers, and which have been asked."""

    def __init__(self, bus, answers, form=bytes):
        self.bus, self.answers, self.form, self.asked = bus, answers, form, []

    def serve(self):
        size = len(self.form(read(1)))
        while len(self.bus.received) >= size:
            got = bytes(self.bus.received[:size])
            del self.bus.received[:size]
            unit = next(u for u in range(256) if self.form(read(u)) == got)
            self.asked.append(unit)
            if unit in self.answers:
                self.bus.send(self.form(self.answers[unit]))

    def until(self, condition, *streams):
        def done():
            self.serve()
            return condition()
        pump([self.bus, *streams], done)

    def reply(self, s):
        """The whole reply of a session."""
        self.until(lambda: s.eof or s._end() is not None, s)
        return s.reply()


def ok(*units):
    return {unit: holds(unit, 7) for unit in units}


@pytest.fixture
def bus(pty, daemon):
    """A bus with a master that asks nothing; answers are awaited for a short time only."""
    def start(line=RTU, **keys):
        bus, m1 = pty("bus"), pty("m1")
        d = daemon(serial("m1", m1, **RTU) + serial("bus", bus, **line) +
                   route("shared", from_="m1", to="bus", exchange="modbus",
                         **dict(dict(answer_timeout="10s") | keys)))
        return d, bus, m1
    return start


def scan(d, text):
    s = d.session()
    s.send(text.encode() + b"\n")
    flush([s])
    return s


def scanning(d):
    """Session's task -> label, of the scans that await an answer."""
    return {name: row["label"] for name, row in d.tasks().items()
            if row["label"].startswith("an answer of unit ") and " to a scan of " in row["label"]}


# --- what it shows -----------------------------------------------------------

def test_answers_exceptions_and_silence(bus):
    d, far, _ = bus(answer_timeout="300ms")
    units = Units(far, ok(1, 2, 3, 17) | {5: rtu(5, 0x83, "02"), 16: rtu(16, 0x83, "2f")})
    lines, last = units.reply(scan(d, "scan bus 1-17"))
    assert last == "OK" and units.asked == list(range(1, 18))
    want = {unit: f"unit {unit}: no answer" for unit in range(1, 18)}
    for unit in (1, 2, 3, 17):
        want[unit] = rf"unit {unit}: answered in {TIME}"
    want[5] = rf"unit 5: exception 02 \(illegal data address\) in {TIME}"
    want[16] = rf"unit 16: exception 2f \(not a standard exception\) in {TIME}"
    for unit, line in zip(range(1, 18), lines):
        assert re.fullmatch(want[unit], line)
    assert re.fullmatch(rf"1-3, 5, 16-17 answered \(6 of 17 units\), median {TIME}, "
                        "2 exceptions, 11 without an answer", lines[17])
    assert len(lines) == 18
    assert d.number("routes/shared/answers") == 6
    assert d.number("routes/shared/timeouts") == 11
    every_wait_is_told(d)


def test_all_units_by_default(bus):
    d, far, _ = bus()
    units = Units(far, ok(*range(1, 248)))
    lines, last = units.reply(scan(d, "scan bus"))
    assert last == "OK" and units.asked == list(range(1, 248))
    assert re.fullmatch(rf"1-247 answered \(247 of 247 units\), median {TIME}", lines[-1])


def test_one_unit_that_does_not_answer(bus):
    d, far, _ = bus(answer_timeout="50ms")
    assert Units(far, {}).reply(scan(d, "scan bus 9")) == (
        ["unit 9: no answer", "no unit answered (0 of 1 unit), 1 without an answer"], "OK")


def test_a_gateway_says_that_a_unit_does_not_answer(bus):
    d, far, _ = bus()
    units = Units(far, {1: rtu(1, 0x83, "0b"), 2: rtu(2, 0x83, "0a"), 3: holds(3, 1)})
    lines, last = units.reply(scan(d, "scan bus 1-3"))
    assert re.fullmatch(rf"unit 1: exception 0b \(gateway target device failed to respond\) "
                        rf"in {TIME}", lines[0])
    assert re.fullmatch(rf"3 answered \(1 of 3 units\), median {TIME}, "
                        "2 without an answer", lines[-1])


def test_progress_is_shown_at_once(bus):
    d, far, _ = bus()
    units = Units(far, ok(1))
    s = scan(d, "scan bus 1-2")
    units.until(lambda: b"unit 1: answered" in s.received, s)
    units.until(lambda: units.asked == [1, 2], s)
    wait_for(lambda: scanning(d))
    (task, label), = scanning(d).items()
    assert re.fullmatch(r"an answer of unit 2 on bus to a scan of .* "
                        r"\(1 of 2 done, 1 answered\)", label)
    assert task.endswith(".read") and d.tasks()[task]["state"] == "waiting"
    every_wait_is_told(d)
    units.bus.send(holds(2, 1))
    assert units.reply(s)[1] == "OK"


def test_a_scan_as_json(bus):
    d, far, _ = bus(answer_timeout="300ms")
    units = Units(far, ok(1) | {2: rtu(2, 0x83, "02")})
    lines, last = units.reply(scan(d, "json scan bus 1-3"))
    assert last == "OK" and len(lines) == 1
    got = json.loads(lines[0])
    one, two, three = got["units"]
    assert one["time"] > 0 and two["time"] > 0 and got["median"] > 0
    assert one == {"unit": 1, "result": "answered", "exception": None, "time": one["time"]}
    assert two == {"unit": 2, "result": "exception", "exception": 2, "time": two["time"]}
    assert three == {"unit": 3, "result": "no answer", "exception": None, "time": None}
    del got["units"], got["median"]
    assert got == {"bus": "bus", "answered": 2, "exceptions": 1, "unanswered": 1, "dropped": 0,
                   "ended": False}


def test_a_scan_as_json_that_finds_nothing(bus):
    d, far, _ = bus(answer_timeout="50ms")
    lines, last = Units(far, {}).reply(scan(d, "json scan bus 4"))
    assert last == "OK" and json.loads(lines[0])["median"] is None


# --- how it asks -------------------------------------------------------------

@pytest.mark.parametrize("line, form", [
    (RTU, bytes), (dict(RTU, payload="inner"), bytes),
    (ASCII, ascii_of), (dict(ASCII, payload="inner"), ascii_of)])
def test_every_framing_of_a_line(bus, line, form):
    d, far, _ = bus(line)
    units = Units(far, ok(1, 255) | {254: rtu(254, 0x83, "02")}, form)
    lines, last = units.reply(scan(d, "scan bus 254-255"))
    assert last == "OK" and units.asked == [254, 255]
    assert lines[-1].startswith("254-255 answered (2 of 2 units), median ")
    assert "exception 02" in lines[0]


@pytest.fixture
def tcp_bus(daemon, device):  # noqa: F811
    """A bus that is a device of Modbus TCP."""
    d = daemon(tcp_server("lan", free_port(), framing="modbus-tcp") +
               section("tcp-client", "plc", framing="modbus-tcp",
                       connect=f"127.0.0.1:{device.port}", reopen_min="20ms") +
               route("shared", from_="lan", to="plc", exchange="modbus",
                     answer_timeout="10s"), settled=False)
    device.accept()
    d.wait_state("plc", "up")
    return d, device


def test_the_answer_to_ask_has_the_number_that_was_asked_with(tcp_bus):
    d, device = tcp_bus  # noqa: F811
    asked = mbap(read(1), 0x1234)
    s = d.session()
    s.send(b"ask plc " + b"".join(b"\\x%02x" % b for b in asked) + b"\n")
    number, data = device.request()
    assert number != 0x1234 and data == mbap(read(1), number)
    device.link.sendall(mbap(holds(1, 5), number))
    lines, last = s.reply()
    assert last == "OK" and lines[0].startswith(r"\x124\x00\x00")


def test_a_bus_of_modbus_tcp(tcp_bus):
    d, device = tcp_bus  # noqa: F811
    s = scan(d, "scan plc 0-2")
    for unit, answer in ((0, holds(0, 5)), (1, rtu(1, 0x83, "02")), (2, holds(2, 6))):
        number, data = device.request()
        assert data == mbap(read(unit), number)
        # One with another number is not the answer.
        device.link.sendall(mbap(holds(unit, 1), number + 100) + mbap(answer, number))
    lines, last = s.reply()
    assert last == "OK" and "exception 02" in lines[1]
    assert lines[-1].startswith("0-2 answered (3 of 3 units)")


def test_units_are_those_of_the_bus(bus):
    d, far, m1 = bus(unit_offset="10")
    m1.send(read(1))
    expect(far, read(11), [m1])
    far.send(holds(11, 1))
    expect(m1, holds(1, 1), [far])
    units = Units(far, ok(2))
    lines, last = units.reply(scan(d, "scan bus 2"))
    assert last == "OK" and units.asked == [2]
    assert lines[0].startswith("unit 2: answered in ")


def test_masters_take_their_turns_with_it(masters, daemon):  # noqa: F811
    m1, m2, far = masters
    d = daemon(shared(*masters))
    who = {101: m1, 102: m2}
    for unit, master in who.items():
        master.send(read(unit))
    s = scan(d, "scan bus 1-8")
    turns = []
    while turns[-1:] != [8]:
        pump(masters, lambda: len(far.received) >= 8)
        unit = far.take()[0]
        turns.append(unit)
        # The other two wait for their turns.
        wait_for(lambda: d.queued("bus") == 2)
        far.send(holds(unit, 1))
        if unit in who:
            expect(who[unit], holds(unit, 1), masters)
            who[unit].send(read(unit))
            flush([who[unit]])
    assert [unit for unit in turns if unit < 100] == list(range(1, 9))
    turns = turns[turns.index(1):]
    for three in zip(turns, turns[1:], turns[2:]):
        assert who.keys() < set(three), turns
    lines, last = s.reply()
    assert last == "OK" and lines[-1].startswith("1-8 answered (8 of 8 units)")


def test_two_scans_of_one_bus(bus):
    d, far, _ = bus()
    units = Units(far, ok(*range(1, 41)))
    one, two = scan(d, "scan bus 1-40"), scan(d, "scan bus 1-40")
    for s in (one, two):
        lines, last = units.reply(s)
        assert last == "OK" and lines[-1].startswith("1-40 answered (40 of 40 units)")
    assert sorted(units.asked) == sorted([*range(1, 41)] * 2)


def test_a_late_answer_is_not_that_of_the_next_unit(bus):
    d, far, _ = bus(answer_timeout="200ms")
    units = Units(far, {})
    s = scan(d, "scan bus 1-2")
    units.until(lambda: units.asked == [1, 2], s)
    far.send(holds(1, 1) + holds(2, 1))
    lines, last = units.reply(s)
    assert last == "OK" and lines[0] == "unit 1: no answer"
    assert lines[2].startswith("2 answered (1 of 2 units)")


def test_a_request_that_waits_too_long_says_nothing_about_its_unit(bus):
    d, far, m1 = bus(answer_timeout="2s", request_timeout="50ms")
    m1.send(read(3))
    expect(far, read(3), [m1])
    assert scan(d, "scan bus 1").reply() == (
        ["unit 1: the request was dropped", "no unit answered (0 of 1 unit), 1 dropped"], "OK")
    assert bytes(far.received) == b""


# --- what it refuses ---------------------------------------------------------

def test_what_cannot_be_scanned(bus, connect):
    d, far, m1 = bus()
    refused(d, "scan", "an argument is missing: scan BUS [FIRST-LAST]")
    refused(d, "scan bsu", "unknown endpoint 'bsu'", "bus")
    refused(d, "scan m1", "m1 cannot be scanned", "exchange = modbus")
    refused(d, "scan bus 1-3 4", "too many arguments")
    for wrong in ("x", "1-", "-3", "3-1", "1-256", "256", "1-2-3", "1,2", "00000001x-3"):
        refused(d, f"scan bus {wrong}", f"'{wrong}' is not a range of units", "as in 1-247")
    for zero in ("0", "0-5"):
        refused(d, f"scan bus {zero}", "unit 0 is the broadcast unit on bus")
    d.control("pause bus")
    refused(d, "scan bus", "bus cannot answer: it is paused")
    refused(d, "json scan bus", "bus cannot answer: it is paused")
    d.control("resume bus")
    far.unplug()
    wait_for(lambda: d.state("bus") != "up")
    refused(d, "scan bus", "bus cannot answer: it is ")
    assert bytes(far.received) == b""


def test_it_needs_full_access(pty, daemon):
    m1, far = pty("m1"), pty("bus")
    d = daemon(serial("m1", m1, **RTU) + serial("bus", far, **RTU) +
               route("shared", from_="m1", to="bus", exchange="modbus"), tcp=True)
    refused(d, "scan bus", "access = full", address=("127.0.0.1", d.port))


# --- how it ends -------------------------------------------------------------

def asked_two(bus):
    """Unit 1 has answered, unit 2 is asked."""
    d, far, m1 = bus()
    units = Units(far, ok(1))
    s = scan(d, "scan bus 1-9")
    units.until(lambda: units.asked == [1, 2], s)
    return d, units, s


def unit_can_be_asked(d, units):
    """The bus serves others."""
    units.answers = ok(2, 3)
    if units.asked[-1] == 2:
        units.bus.send(holds(2, 1))
    assert units.reply(scan(d, "scan bus 3"))[1] == "OK"


@pytest.mark.parametrize("line", [b"\n", b"version\n"])
def test_the_next_line_ends_it(bus, line):
    d, units, s = asked_two(bus)
    s.send(line)
    lines, last = s.reply()
    assert last == "OK" and lines[0].startswith("unit 1: answered in ")
    assert lines[1].startswith("1 answered (1 of 1 unit), median ") and len(lines) == 2
    assert lines[1].endswith(", ended by the next line before unit 2 answered")
    if line != b"\n":
        assert s.reply()[0][0].startswith("ttybridged ")
    assert s.ask("version")
    unit_can_be_asked(d, units)


def test_a_scan_as_json_that_is_ended_is_whole(bus):
    d, far, _ = bus()
    units = Units(far, {})
    s = scan(d, "json scan bus 1-9")
    units.until(lambda: units.asked == [1], s)
    s.send(b"\n")
    (line,), last = s.reply()
    assert last == "OK" and json.loads(line)["units"] == [] and json.loads(line)["ended"]


def test_a_client_that_sends_no_more_gets_all_of_it(bus):
    d, far, _ = bus()
    units = Units(far, ok(1, 3))
    s = scan(d, "scan bus 1-3")
    s.client.end()
    units.until(lambda: units.asked == [1, 2], s)
    wait_for(lambda: scanning(d))
    (task, _), = scanning(d).items()
    assert d.tasks()[task]["state"] == "paused"
    every_wait_is_told(d)
    far.send(holds(2, 1))
    lines, last = units.reply(s)
    assert last == "OK" and lines[-1].startswith("1-3 answered (3 of 3 units)")
    pump([s], lambda: s.eof)


def test_a_client_that_is_gone_ends_it(bus):
    d, units, s = asked_two(bus)
    s.close()
    units.bus.send(holds(2, 1))
    wait_for(lambda: not scanning(d))
    unit_can_be_asked(d, units)
    assert units.asked[:2] == [1, 2] and len(units.asked) <= 4


def test_its_session_is_cancelled(bus):
    d, units, s = asked_two(bus)
    (task, _), = scanning(d).items()
    d.control(f"cancel {task}")
    pump([s], lambda: s.eof)
    assert not scanning(d)
    unit_can_be_asked(d, units)


def ends_with(s, units, error):
    lines, last = units.reply(s)
    assert last == error
    assert lines[-1].startswith("1 answered (1 of 1 unit), median ") and len(lines) == 2
    assert s.ask("version")


def test_the_bus_goes_down(bus):
    d, units, s = asked_two(bus)
    units.bus.unplug()
    lines, last = s.reply()
    assert last == "ERR bus went down after unit 1"
    assert lines[-1].startswith("1 answered (1 of 1 unit)") and len(lines) == 2


def test_the_bus_goes_down_before_any_unit_answers(bus):
    d, far, _ = bus()
    s = scan(d, "json scan bus")
    expect(far, read(1), [s])
    far.unplug()
    (line,), last = s.reply()
    assert json.loads(line)["units"] == []
    assert last == "ERR bus went down before unit 1 answered"


def test_the_bus_is_paused(bus):
    d, units, s = asked_two(bus)
    d.control("pause bus")
    units.bus.send(holds(2, 1))
    flush([units.bus])
    d.control("reopen bus")
    ends_with(s, units, "ERR bus went down after unit 1")


@pytest.mark.parametrize("change, error", [
    (lambda m1, far: serial("m1", m1, **RTU) + serial("bus", far, **RTU) +
     route("shared", from_="m1", to="bus", exchange="any"),
     "bus stopped being a Modbus bus after unit 1"),
    (lambda m1, far: serial("m1", m1, **RTU), "bus was removed after unit 1"),
    (lambda m1, far: serial("m1", m1, **RTU) + serial("bus", far, **RTU),
     "bus stopped being the bus of an exchange after unit 1")])
def test_a_reload_takes_the_bus_away(bus, pty, change, error):
    d, far, m1 = bus()
    units = Units(far, ok(1))
    s = scan(d, "scan bus 1-9")
    units.until(lambda: units.asked == [1, 2], s)
    d.reload(change(m1, far))
    ends_with(s, units, f"ERR {error}")


def test_a_reload_that_changes_the_route_drops_one_request(bus):
    d, far, m1 = bus()
    units = Units(far, ok(1, 3))
    s = scan(d, "scan bus 1-3")
    units.until(lambda: units.asked == [1, 2], s)
    d.reload(serial("m1", m1, **RTU) + serial("bus", far, **RTU) +
             route("shared", from_="m1", to="bus", exchange="modbus", answer_timeout="9s"))
    far.send(holds(2, 1))
    lines, last = units.reply(s)
    assert last == "OK" and lines[1] == "unit 2: the request was dropped"
    assert lines[-1].startswith("1, 3 answered (2 of 3 units)")


def test_a_restart_closes_its_session(bus):
    d, units, s = asked_two(bus)
    restart(d, [s])
    pump([s], lambda: s.eof)
    unit_can_be_asked(d, units)


# --- who does not read -------------------------------------------------------

def waiting_bytes(d, name):
    label = d.tasks()[f"{name}.write"]["label"]
    found = re.search(r"\(([\d.]+)(K?) bytes wait\)", label)
    return float(found[1]) * (1024 if found[2] else 1) if found else 0


def test_who_does_not_read_delays_his_scan(bus):
    d, far, _ = bus()
    units = Units(far, ok(*range(1, 248)))
    s = d.session()
    s.ask("version")
    before = set(d.tasks())
    s.reading = False
    name = next(n[:-len(".read")] for n in before if n.endswith("client#1.read") or
                (n.startswith("unix.client#") and n.endswith(".read") and
                 "nothing" not in d.tasks().get(n, {"label": "nothing"})["label"]))
    # Replies, until there is room for some units more, but not for all.
    sent = 0
    while waiting_bytes(d, name) < 61 * 1024:
        s.send(b"version\n" if waiting_bytes(d, name) > 56 * 1024 else b"help\n")
        flush([s])
        sent += 1
        runs = d.tasks()[f"{name}.read"]["label"]
        assert "read the replies" not in runs
    s.send(b"scan bus\n")
    flush([s])
    units.until(lambda: "to read its replies, or to end its scan" in d.tasks()[f"{name}.read"]["label"])
    some = len(units.asked)
    assert 0 < some < 247
    s.reading = True
    for _ in range(sent):
        s.reply()
    lines, last = units.reply(s)
    assert last == "OK" and len(lines) == 248
    assert units.asked == list(range(1, 248))
