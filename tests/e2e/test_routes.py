"""Who hears whom, and what the filters let pass."""
import random

import pytest

from harness import (ControlError, expect, flush, pump, route, run, serial,
                     wait_for)


@pytest.fixture
def four(pty):
    return [pty(name) for name in "abcd"]


def lines(ptys):
    return "".join(serial(p.name, p, framing="line") for p in ptys)


def hears(speaker, listeners, deaf, mark=[0]):
    """A line of the speaker reaches these and not those."""
    mark[0] += 1
    line = b"%s says %d\n" % (speaker.name.encode(), mark[0])
    speaker.send(line)
    flush([speaker])
    for p in listeners:
        expect(p, line, [speaker])
    for p in deaf:
        assert bytes(p.received) == b""


def nothing_more(d, ptys):
    """Whatever was to go out has gone out, and was read above."""
    pump(ptys, lambda: all(d.queued(p.name) == 0 for p in ptys))
    for p in ptys:
        assert bytes(p.received) == b"", p.name


def test_without_routes_everybody_hears_everybody(four, daemon):
    d = daemon(lines(four))
    for p in four:
        hears(p, [q for q in four if q is not p], [p])
    nothing_more(d, four)


def test_between_joins_its_endpoints_and_nobody_else(four, daemon):
    a, b, c, e = four
    d = daemon(lines(four) + route("r", between="a b c"))
    hears(a, [b, c], [e])
    hears(b, [a, c], [e])
    hears(e, [], [a, b, c])
    hears(c, [a, b], [e])
    d.wait_number("d/rx_frames", 1)
    assert d.number("d/tx_frames") == 0
    nothing_more(d, four)


def test_from_and_to_lead_one_way(four, daemon):
    a, b, c, e = four
    d = daemon(lines(four) + route("r", from_="a b", to="c d"))
    hears(a, [c, e], [b])
    hears(b, [c, e], [a])
    hears(c, [], [a, b, e])
    hears(e, [], [a, b, c])
    d.wait_number("c/rx_frames", 1)
    d.wait_number("d/rx_frames", 1)
    nothing_more(d, four)


def test_two_routes_to_the_same_place_deliver_once(four, daemon):
    a, b, c, e = four
    d = daemon(lines(four) + route("one", from_="a", to="b") +
               route("two", from_="a", to="b c") + route("three", between="a b"))
    hears(a, [b, c], [e])
    hears(a, [b, c], [e])
    assert d.number("b/tx_frames") == 2
    nothing_more(d, four)


def test_match_lets_only_matching_frames_pass(four, daemon):
    a, b, *_ = four
    d = daemon(lines(four) + route("r", from_="a", to="b",
                                   match=r"^\$GP(GGA|RMC),"))
    a.send(b"$GPGSV,1\n$GPGGA,2\nx$GPGGA,3\n$GPRMC,4\n\n")
    expect(b, b"$GPGGA,2\n$GPRMC,4\n", [a])
    d.wait_number("a/rx_frames", 5)
    row = d.routes()["r"]
    assert (row["frames"], row["rejected"]) == (2, 3)
    nothing_more(d, four)


def test_reject_lets_the_others_pass(four, daemon):
    a, b, *_ = four
    daemon(lines(four) + route("r", from_="a", to="b",
                               match="^[a-z]+$", reject="debug|trace"))
    a.send(b"good\na debug\ndebugging\nGOOD\nfine\n")
    expect(b, b"good\nfine\n", [a])


def test_a_frame_too_long_for_its_expression_is_counted_and_the_rest_goes_on(
        four, daemon):
    a, b, c, _ = four
    d = daemon(serial("a", a, framing="line", max_frame="64K") +
               lines([b, c]) +
               route("costly", from_="a", to="b", match="(a?){100}b") +
               route("cheap", from_="a", to="c", reject="^x"))
    assert "key 'match' in [route costly]: frames of 'a' over" in d.stderr()
    long = b"a" * 3000 + b"b"
    a.send(long + b"\nab\n")
    expect(b, b"ab\n", [a, c])
    expect(c, long + b"\nab\n", [a])
    assert d.number("routes/costly/too_long") == 1
    assert d.number("routes/costly/rejected") == 0
    assert d.number("routes/cheap/too_long") == 0
    assert d.number("routes/costly/frames") == 1


def test_a_back_reference_is_found_where_that_takes_few_steps(four, daemon):
    a, b, *_ = four
    d = daemon(lines(four) + route("r", from_="a", to="b",
                                   match=r"^(.*)(.*),\2\1$"))
    assert "key 'match' in [route r]" in d.stderr()
    a.send(b"left right,right left\n" + b"xy" * 2000 + b"\nab,ab\nab,ac\n")
    expect(b, b"ab,ab\n", [a])
    d.wait_number("routes/r/rejected", 2)
    assert d.number("routes/r/too_long") == 1


# What took 0.4 s for each of its frames, and what the C library has no end of.
@pytest.mark.parametrize("match", ["a.*b", "(a?){60}b", r"(a*)*\1b"])
def test_expressions_do_not_hold_up_the_others(four, daemon, match):
    a, b, c, e = four
    d = daemon(lines(four) + route("slow", from_="a", to="b", match=match) +
               route("other", between="c d"))
    for _ in range(40):
        a.send(b"a" * 4000 + b"\n")
    c.send(b"ping\n")
    expect(e, b"ping\n", [a, c])
    flush([a])
    wait_for(lambda: d.number("routes/slow/rejected") +
             d.number("routes/slow/too_long") == 40)
    assert "held the loop" not in d.stderr()


def test_an_expression_without_the_library_is_tried(directory, monkeypatch):
    """As where an upgrade has not brought it: the service starts."""
    conf = directory / "test.conf"
    conf.write_text("[echo a]\n[serial b]\ndevice = /dev/null\nframing = line\n"
                    "[route r]\nfrom = b\nto = a\nmatch = ^x\n")
    (directory / "libtre.so.5").write_text("not a library")
    with monkeypatch.context() as m:
        m.setenv("LD_LIBRARY_PATH", str(directory))
        done = run("--check", "-c", conf)
    assert done.returncode == 0
    assert "libtre5" in done.stderr
    done = run("--check", "-c", conf)
    assert (done.returncode, done.stderr) == (0, "")


def test_match_hex_compares_the_first_bytes(four, daemon):
    a, b, c, _ = four
    daemon(serial("a", a, framing="cobs") + serial("b", b, framing="slip") +
           serial("c", c, framing="slip") +
           route("one", from_="a", to="b", match_hex="01 00") +
           route("two", from_="a", to="c", match_hex="0200"))
    # cobs of 01 00 41, 02 00 42, 01, 01 00
    a.send(bytes.fromhex("02010241 00 02020242 00 0201 00 020101 00"))
    expect(b, b"\xc0\x01\x00A\xc0\xc0\x01\x00\xc0", [a])
    expect(c, b"\xc0\x02\x00B\xc0", [a])


def test_a_filter_that_cannot_be_read_is_a_fault(directory):
    conf = directory / "bad.conf"
    conf.write_text("[serial a]\ndevice = /dev/null\n[serial b]\n"
                    "device = /dev/zero\n[route r]\nbetween = a b\n"
                    "match = (unclosed\n")
    done = run("-c", conf, "--check")
    assert done.returncode == 2
    assert f"{conf}:7: " in done.stdout + done.stderr


def test_the_routes_table_counts_frames_bytes_and_times(four, daemon):
    a, b, *_ = four
    d = daemon(lines(four) + route("there", from_="a", to="b") +
               route("back", from_="b", to="a"))
    a.send(b"0123456789\n" * 100)
    expect(b, b"0123456789\n" * 100, [a])
    rows = d.routes()
    assert set(rows) == {"there", "back"}
    there = rows["there"]
    assert (there["from"], there["to"]) == ("a", "b")
    assert (there["frames"], there["bytes"]) == (100, 1000)
    assert (rows["back"]["frames"], rows["back"]["rejected"]) == (0, 0)
    assert 0 < there["p50"] <= there["p99"]
    assert there["p50"] <= there["max"] < 10
    heading = d.control("routes")[0].split()
    assert heading == ["NAME", "FROM", "TO", "FRAMES", "BYTES", "REJECTED",
                       "LIMITED", "P50", "P99", "MAX"]


# --- filters that know messages ----------------------------------------------

def sentence(text):
    total = 0
    for byte in text.encode():
        total ^= byte
    return b"$%s*%02X\r\n" % (text.encode(), total)


def test_match_nmea_knows_sentences(four, daemon):
    a, b, c, e = four
    d = daemon(serial("a", a, framing="nmea") + serial("b", b, framing="nmea") +
               serial("c", c, framing="nmea", payload="inner") +
               serial("d", e, framing="line") +
               route("one", from_="a c", to="b", match_nmea="GP*,!GPGSV") +
               route("two", from_="a c", to="d", match_nmea="!??GSV !AIVDM"))
    gga, gsv, gll = map(sentence, ("GPGGA,1,2", "GPGSV,3,1", "GLGLL,4"))
    ais = b"!AIVDM,1,1,,A,13u?etPv2;0n:dDPwUM1U1Cb069D,0*24\r\n"
    a.send(gga + gsv + gll + ais)
    expect(b, gga, [a])
    expect(e, gga[:-2] + b"\n" + gll[:-2] + b"\n", [a])
    # From c come inner payloads, without $ and checksum.
    c.send(gga + gsv + gll)
    expect(e, b"GPGGA,1,2\nGLGLL,4\n", [c])
    assert d.number("routes/one/rejected") == 3 + 2
    assert d.number("routes/two/rejected") == 2 + 1


def test_match_mavlink_knows_messages(four, daemon):
    a, b, c, _ = four
    heartbeat1 = bytes.fromhex("fe094e01010000000000020351040"
                               "31c7f")
    heartbeat2 = bytes.fromhex("fd0900004e010100000000000000020351040372e4")
    d = daemon(serial("a", a, framing="mavlink") +
               serial("b", b, framing="mavlink") +
               serial("c", c, framing="mavlink") +
               route("one", from_="a", to="b", match_mavlink="0,30,33") +
               route("two", from_="a", to="c", match_mavlink="1-16777215"))
    a.send(heartbeat1 + heartbeat2)
    expect(b, heartbeat1 + heartbeat2, [a])
    assert d.number("routes/two/rejected") == 2
    assert d.number("c/tx_frames") == 0


def test_match_unit_knows_who_is_asked(four, daemon):
    a, b, c, e = four
    d = daemon(serial("a", a, framing="modbus-rtu") +
               serial("b", b, framing="modbus-rtu") +
               serial("c", c, framing="modbus-ascii") +
               serial("d", e, framing="modbus-ascii") +
               route("one", from_="a", to="b", match_unit="1-5,17") +
               route("two", from_="c", to="d", match_unit="1-5"))
    eleven = bytes.fromhex("1103006b00037687")
    a.send(bytes.fromhex("01030000000ac5cd") + eleven)
    expect(b, bytes.fromhex("01030000000ac5cd") + eleven, [a])
    c.send(b":01030000000AF2\r\n:1103006B00037E\r\n")
    expect(e, b":01030000000AF2\r\n", [c])
    d.wait_number("routes/two/rejected", 1)
    assert d.number("routes/one/rejected") == 0


def test_rate_drops_what_is_too_much(four, daemon):
    a, b, c, _ = four
    d = daemon(lines(four) +
               route("slow", from_="a", to="b c", rate="5/h", match="^[0-9]") +
               route("free", from_="b", to="a", rate="1000000/s") +
               route("all", from_="c", to="d"))
    many = [b"%d\n" % i for i in range(20)]
    a.send(b"no number\n" + b"".join(many))
    expect(b, b"".join(many[:5]), [a])
    expect(c, b"".join(many[:5]), [a])
    d.wait_number("routes/slow/limited", 30)
    assert d.number("routes/slow/rejected") == 2
    assert d.number("routes/slow/frames") == 10
    b.send(b"".join(many))
    expect(a, b"".join(many), [b])
    assert d.number("routes/free/limited") == 0
    with pytest.raises(ControlError, match="unknown attribute"):
        d.get("routes/all/limited")


def test_rate_counts_each_message_that_the_filter_names(four, daemon):
    a, b, c, e = four
    d = daemon(serial("a", a, framing="nmea") + serial("b", b, framing="nmea") +
               serial("c", c, framing="mavlink") +
               serial("d", e, framing="mavlink") +
               route("gps", from_="a", to="b", rate="2/h",
                     match_nmea="GPGGA GPRMC,GPV*") +
               route("mav", from_="c", to="d", rate="1/h",
                     match_mavlink="200-209"))
    each = [sentence(f"{name},{n}") for n in range(4)
            for name in ("GPGGA", "GPRMC", "GPVTG", "GPGLL")]
    a.send(b"".join(each))
    passed = [s for s in each[:8] if b"GPGLL" not in s]
    expect(b, b"".join(passed), [a])
    d.wait_number("a/rx_frames", 16)
    row = d.routes()["gps"]
    assert (row["limited"], row["rejected"], row["frames"]) == (6, 4, 6)
    packets = [packet(number, 1, n) for n in range(2)
               for number in (203, 204, 209)]
    c.send(b"".join(packets))
    expect(e, b"".join(packets[:3]), [c])
    d.wait_number("routes/mav/limited", 3)


def test_latest_keeps_the_newest_of_each_sentence(four, daemon):
    a, b, c, e = four
    b.unplug()
    c.unplug()
    d = daemon("".join(serial(p.name, p, framing="nmea") for p in four) +
               route("all", from_="a", to="c d") +
               route("new", from_="a", to="b", latest="nmea"), settled=False)
    d.wait_state("a", "up")
    first = [sentence(t) for t in (
        "GPGGA,1", "GPRMC,1", "GPGSV,2,1,1", "GPGSV,2,2,1", "GPGGA,2")]
    ais = b"!AIVDM,1,1,,A,13u?etPv2;0n:dDPwUM1U1Cb069D,0*24\r\n"
    then = [sentence(t) for t in ("GPGSV,2,1,2", "GPRMC," + "2" * 50)]
    last = sentence("GPGGA,3")
    everything = b"".join([*first, ais, *then, ais, last])
    a.send(everything)
    expect(e, everything, [a])
    d.wait_number("b/queued_frames", 6)
    assert d.dropped("b", "replaced") == 4
    d.balance("a", "b")
    b.plug()
    c.plug()
    expect(b, last + then[1] + then[0] + first[3] + ais + ais)
    expect(c, everything)
    assert d.dropped("c", "replaced") == 0
    # Nothing waits: all of them pass.
    a.send(everything)
    expect(b, everything, [a, c])


def test_latest_finds_the_older_one_among_very_many(four, daemon):
    a, b, *_ = four
    b.unplug()
    d = daemon(serial("a", a, framing="nmea") +
               serial("b", b, framing="nmea", queue="1M") +
               route("r", from_="a", to="b", latest="nmea"), settled=False)
    d.wait_state("a", "up")
    names = [f"P{n:05}" for n in range(20000)]
    # Each is longer than the one that it replaces, so none fits in its place.
    for round in range(3):
        a.send(b"".join(sentence(f"{name},{'x' * 8 * round}")
                        for name in names))
        pump([a], lambda: not a.outgoing, 120)
        d.wait_number("a/rx_frames", 20000 * (round + 1))
    assert d.number("b/queued_frames") == 20000
    assert d.dropped("b", "replaced") == 40000
    d.balance("a", "b")
    b.plug()
    expect(b, b"".join(sentence(f"{name},{'x' * 16}") for name in names))


class Newest:
    """What waits for an endpoint that is away, of a route with latest = nmea."""

    def __init__(self, limit):
        self.limit, self.waiting, self.replaced = limit, [], 0

    def find(self, new):
        return next((n for n, old in enumerate(self.waiting)
                     if old[1:6] == new[1:6]), None)

    def size(self, sentences):
        # Without line ends, and each as 16 bytes at least.
        return sum(max(len(s) - 2, 16) for s in sentences)

    def fits(self, new):
        at = self.find(new)
        others = [s for n, s in enumerate(self.waiting) if n != at]
        return self.size([*others, new]) <= self.limit

    def add(self, new):
        if self.find(new) is None or not self.fits(new):
            while self.size([*self.waiting, new]) > self.limit:
                self.waiting.pop(0)
        at = self.find(new)
        if at is None:
            self.waiting.append(new)
        else:
            self.waiting[at] = new
            self.replaced += 1


def test_latest_against_a_model(four, daemon):
    """Sentences of all lengths, more than the queue has room for."""
    a, b, *_ = four
    d = daemon(serial("a", a, framing="nmea") +
               serial("b", b, framing="nmea", queue="2K") +
               route("r", from_="a", to="b", latest="nmea"))
    chance = random.Random(3)
    replaced = sent = 0
    for _ in range(6):
        b.unplug()
        d.wait_state("b", "lost")
        model, everything = Newest(2048), []
        for _ in range(600):
            name = f"GP{chance.randrange(90):03}"
            everything.append(
                sentence(f"{name},{'x' * chance.randrange(70)}"))
            model.add(everything[-1])
        sent += 600
        replaced += model.replaced
        a.send(b"".join(everything))
        pump([a], lambda: not a.outgoing)
        d.wait_number("a/rx_frames", sent)
        assert d.number("b/queued_frames") == len(model.waiting)
        assert d.dropped("b", "replaced") == replaced
        d.balance("a", "b")
        b.plug()
        expect(b, b"".join(model.waiting))
        d.wait_state("b", "up")


def packet(number, system, *payload):
    """MAVLink 1, of a message that nobody knows."""
    body = bytes([len(payload), 0, system, 1, number, *payload])
    crc = 0xFFFF
    for byte in [*body, 7]:
        byte ^= crc & 0xFF
        byte ^= byte << 4 & 0xFF
        crc = crc >> 8 ^ byte << 8 ^ byte << 3 ^ byte >> 4
    return b"\xfe" + body + crc.to_bytes(2, "little")


def test_latest_keeps_the_newest_of_each_mavlink_message(four, daemon):
    a, b, c, _ = four
    b.unplug()
    d = daemon("".join(serial(p.name, p, framing="mavlink") for p in four) +
               route("telemetry", from_="a", to="b", latest="mavlink",
                     match_mavlink="200-209") +
               route("rest", from_="a", to="b c"), settled=False)
    d.wait_state("a", "up")
    old = [packet(203, 1, 1), packet(204, 1, 1), packet(203, 2, 1)]
    new = [packet(203, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2), packet(204, 1, 2)]
    commands = [packet(220, 1, 1), packet(220, 1, 2)]
    everything = b"".join(old + commands + new)
    a.send(everything)
    expect(c, everything, [a])
    d.wait_number("b/dropped_replaced", 2)
    b.plug()
    expect(b, new[0] + new[1] + old[2] + b"".join(commands))
    d.balance("a", "b")
