"""Who hears whom, and what the filters let pass."""
import pytest

from harness import expect, flush, pump, route, run, serial


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


def test_a_filter_that_cannot_be_read_is_a_fault(folder):
    conf = folder / "bad.conf"
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
                       "P50", "P99", "MAX"]
