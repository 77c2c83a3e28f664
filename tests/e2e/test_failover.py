"""Routes that use the first live one of several sources, or destinations."""
import pytest

from harness import (expect, free_port, pump, route, run, section,
                     serial, tcp_server, wait_for)
from test_handover import restart

FIX, NO_FIX = b"$GPRMC,1,A,\n", b"$GPRMC,1,V,\n"


def failovers(d):
    return {w["text"] for w in d.json("warnings")["rows"] if w["warning"] == "failover"} \
        if isinstance(d.json("warnings"), dict) else \
        {w["text"] for w in d.json("warnings") if w["warning"] == "failover"}


def used(d):
    return d.get("routes/r/used")


class Chart:
    """Two receivers and who listens to them, on a clock of the test's."""

    def __init__(self, pty, daemon, clock, **keys):
        self.one, self.two, self.out = pty("gps1"), pty("gps2"), pty("out")
        self.clock = clock
        self.conf = \
            serial("gps1", self.one, framing="line", silence_warning="none") + \
            serial("gps2", self.two, framing="line", silence_warning="none") + \
            serial("out", self.out, framing="line", silence_warning="none") + \
            route("r", **({"from": "gps1 gps2", "to": "out", "prefer": "from"} | keys))
        self.d = daemon(self.conf, env=clock.env)

    def heard(self, stream, line):
        """The stream sends a line; after that the daemon has read it."""
        path = f"{stream.name}/rx_frames"
        before = self.d.number(path)
        stream.send(line)
        wait_for(lambda: stream.turn(4) or self.d.number(path) == before + 1)


def test_the_first_source_is_used_while_it_is_live(pty, daemon, clock):
    t = Chart(pty, daemon, clock, recover_after="10s")
    d, events = t.d, t.d.session()
    events.send(b"events\n")
    t.heard(t.two, b"early\n")
    t.heard(t.one, b"first\n")
    expect(t.out, b"first\n")
    assert d.number("routes/r/standby") == 1
    assert failovers(d) == set()
    # It falls silent, and the other one goes on.
    clock.move(d, 2)
    t.heard(t.two, b"too early\n")
    assert used(d) == "gps1"
    clock.move(d, 1)
    t.heard(t.two, b"second\n")
    expect(t.out, b"second\n")
    assert used(d) == "gps2"
    text = "gps2 is used instead of gps1, which has sent no frame within 3s"
    assert failovers(d) == {text}
    assert f"r: {text}" in d.stderr()
    assert d.number("routes/r/switches") == 1
    pump([events], lambda: text.encode() in events.received)
    task = d.tasks()["r.failover"]
    assert task["label"] == "the time when gps2, which is used, may fail" or \
        "gps2 is used" in task["label"]
    assert "failover" in task["warn"]
    # It is back, but has to last.
    for _ in range(5):
        t.heard(t.one, b"back\n")
        t.heard(t.two, b"still\n")
        clock.move(d, 2)
    expect(t.out, b"still\n" * 5)
    t.heard(t.one, b"again\n")
    expect(t.out, b"again\n")
    assert used(d) == "gps1"
    assert failovers(d) == set()
    assert "r: gps1 is used again, instead of gps2" in d.stderr()
    assert d.number("routes/r/switches") == 2


def test_a_switch_is_logged_once(pty, daemon, clock):
    t = Chart(pty, daemon, clock, recover_after="1s")
    d, events = t.d, t.d.session()
    events.send(b"events\n")
    d.control("version")
    clock.move(d, 2)
    t.heard(t.two, b"two\n")
    clock.move(d, 1)
    assert used(d) == "gps2"
    # None is live: that is no switch, and the warning changes.
    clock.move(d, 3)
    assert len(failovers(d)) == 1
    for _ in range(3):
        t.heard(t.one, b"one\n")
        clock.move(d, 1)
    assert used(d) == "gps1" and failovers(d) == set()
    pump([events], lambda: b"gps1 is used again" in events.received or
         b"gps1 is used instead of" in events.received)
    for text in d.stderr(), events.received.decode():
        assert text.count("gps2 is used instead of gps1") == 1, text
        assert "failover: over after" not in text
    assert d.number("routes/r/switches") == 2


def test_one_that_comes_and_goes_is_not_used_again(pty, daemon, clock):
    t = Chart(pty, daemon, clock)
    clock.move(t.d, 3)
    for _ in range(6):
        t.heard(t.two, b"two\n")
        t.heard(t.one, b"one\n")
        clock.move(t.d, 2)
        t.heard(t.two, b"two\n")
        clock.move(t.d, 2)
    expect(t.out, b"two\n" * 12)
    assert t.d.number("routes/r/switches") == 1


def test_only_frames_that_match_show_life(pty, daemon, clock):
    t = Chart(pty, daemon, clock, live_match="RMC,[^,]*,A")
    t.heard(t.one, FIX)
    clock.move(t.d, 2)
    t.heard(t.one, NO_FIX)
    clock.move(t.d, 1)
    # The other one has no fix, either.
    t.heard(t.two, NO_FIX)
    t.heard(t.one, NO_FIX)
    expect(t.out, FIX + NO_FIX + NO_FIX)
    assert failovers(t.d) == {
        "gps1 is used, although it has sent no frame that matches 'live_match'"
        " within 3s; none of the others is live"}
    t.heard(t.two, FIX)
    expect(t.out, FIX)
    assert used(t.d) == "gps2"
    # Nothing else is live, so it need not last.
    clock.move(t.d, 3)
    t.heard(t.one, FIX)
    expect(t.out, FIX)
    assert used(t.d) == "gps1"


def test_a_source_that_is_not_read_has_not_failed(pty, daemon, clock):
    t = Chart(pty, daemon, clock)
    d = t.d
    d.control("pause out")
    d.control("set out/queue 100")
    d.control("set out/overflow block")
    d.control("resume out")
    line = b"." * 99 + b"\n"
    t.out.reading = False
    wait_for(lambda: t.one.send(line) and t.one.turn(4) is not None and
             d.tasks()["gps1.read"]["state"] == "paused")
    for _ in range(4):
        clock.move(d, 2)
        t.heard(t.two, b"two\n")
        assert used(d) == "gps1"


def test_it_continues_after_a_reload_and_a_restart(pty, daemon, clock):
    t = Chart(pty, daemon, clock)
    clock.move(t.d, 3)
    t.heard(t.two, b"two\n")
    expect(t.out, b"two\n")
    t.d.reload(section("echo", "other") + t.conf + route("s", from_="gps1", to="other"))
    t.heard(t.two, b"reloaded\n")
    expect(t.out, b"reloaded\n")
    assert len(failovers(t.d)) == 1
    restart(t.d, [t.out])
    t.heard(t.two, b"restarted\n")
    expect(t.out, b"restarted\n")
    assert used(t.d) == "gps2"
    assert t.d.number("routes/r/switches") == 1
    wait_for(lambda: (clock.move(t.d, 1), t.heard(t.two, b"\n"), failovers(t.d))[-1])
    # Others than before.
    t.d.reload(t.conf.replace("gps1 gps2", "gps2 gps1"))
    assert used(t.d) == "gps2" and failovers(t.d) == set()


def test_the_second_destination_while_the_first_is_down(pty, daemon, clock):
    a, lan, lte = pty("a"), pty("lan"), pty("lte")
    d = daemon(serial("a", a, framing="line") + serial("lan", lan, framing="line") +
               serial("lte", lte, framing="line") +
               route("r", **{"from": "a", "to": "lan lte"}, prefer="to",
                     recover_after="5s"), env=clock.env)
    expect(lan, b"1\n", [a.send(b"1\n")])
    lan.unplug()
    wait_for(lambda: used(d) == "lte")
    assert failovers(d) == {"lte is used instead of lan, which is not up"}
    assert "r: lte is used instead of lan, which is not up\n" in d.stderr()
    expect(lte, b"2\n", [a.send(b"2\n")])
    lan.plug()
    wait_for(lambda: clock.move(d, 1) or d.state("lan") == "up")
    a.send(b"3\n")
    expect(lte, b"3\n", [a])
    wait_for(lambda: clock.move(d, 1) or used(d) == "lan")
    expect(lan, b"4\n", [a.send(b"4\n")])
    assert failovers(d) == set()
    # Both are gone: what comes waits for the one that was used last.
    lte.unplug()
    wait_for(lambda: d.state("lte") == "lost")
    lan.unplug()
    wait_for(lambda: d.state("lan") == "lost")
    a.send(b"5\n")
    wait_for(lambda: a.turn(4) or d.number("lan/queued_frames") == 1)
    lan.plug()
    wait_for(lambda: clock.move(d, 1) or d.state("lan") == "up")
    expect(lan, b"5\n")
    lte.plug()
    wait_for(lambda: clock.move(d, 1) or d.state("lte") == "up")
    for name in "lan", "lte":
        t = d.json(f"list {name}")
        assert int(t[f"{name}/offered"]) == sum(
            int(t[f"{name}/{what}"]) for what in
            ("tx_frames", "rejected", "dropped", "queued_frames"))


def test_the_second_destination_while_the_first_takes_nothing(pty, daemon, clock):
    a, lan, lte = pty("a"), pty("lan"), pty("lte")
    d = daemon(serial("a", a, framing="line") +
               serial("lan", lan, framing="line", queue="1K") +
               serial("lte", lte, framing="line") +
               route("r", **{"from": "a", "to": "lan lte"}, prefer="to"),
               env=clock.env)
    lan.reading = False
    sent = 0
    while d.tasks()["a.read"]["state"] != "paused":
        a.send(b"%d\n" % sent)
        sent += 1
    queued = d.number("lan/queued_frames")
    wait_for(lambda: clock.move(d, 1) or used(d) == "lte")
    assert failovers(d) == {
        "lte is used instead of lan, which has taken nothing within 3s"}
    # The source goes on; what was queued stays where it is.
    a.send(b"last\n")
    pump([a, lte], lambda: b"last\n" in lte.received)
    assert d.number("lan/queued_frames") == queued
    lan.reading = True
    pump([lan, lte], lambda: d.number("lan/queued_frames") == 0 and
         clock.move(d, 1) is None and used(d) == "lan")
    pump([lan], lambda: lan.lines()[-1:] + lte.lines()[:1])
    got = lan.lines() + lte.lines()
    assert got == [b"%d" % n for n in range(sent)] + [b"last"]
    assert d.number("routes/r/switches") == 2


def test_a_server_without_a_client_is_not_used(pty, daemon, connect):
    a, port, lte = pty("a"), free_port(), pty("lte")
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line") +
               serial("lte", lte, framing="line") +
               route("r", **{"from": "a", "to": "lan lte"}, prefer="to",
                     recover_after="1ms"))
    wait_for(lambda: used(d) == "lte")
    assert failovers(d) == {"lte is used instead of lan, which has no peer"}
    expect(lte, b"1\n", [a.send(b"1\n")])
    client = connect(port)
    wait_for(lambda: used(d) == "lan")
    expect(client, b"2\n", [a.send(b"2\n")])
    client.close()
    wait_for(lambda: used(d) == "lte")
    expect(lte, b"3\n", [a.send(b"3\n")])


def test_a_destination_has_time_to_be_opened(pty, daemon, clock):
    a, lan, lte = pty("a"), pty("lan"), pty("lte")
    lan.unplug()
    d = daemon(serial("a", a, framing="line") + serial("lan", lan, framing="line") +
               serial("lte", lte, framing="line") +
               route("r", **{"from": "a", "to": "lan lte"}, prefer="to",
                     recover_after="1h"), env=clock.env, settled=False)
    d.wait_state("lte", "up")
    clock.move(d, 2)
    assert used(d) == "lan" and failovers(d) == set()
    a.send(b"1\n")
    wait_for(lambda: a.turn(4) or d.number("lan/queued_frames") == 1)
    clock.move(d, 1)
    wait_for(lambda: used(d) == "lte")
    # That time is over once it was open, or is not: it is used no more.
    lan.plug()
    wait_for(lambda: clock.move(d, 1) or d.state("lan") == "up")
    assert used(d) == "lte"
    # After a restart it is the one in use that has time.
    restart(d, [lan, lte])
    assert used(d) == "lte"
    expect(lte, b"2\n", [a.send(b"2\n")])
    assert d.number("routes/r/switches") == 1
    lte.unplug()
    wait_for(lambda: used(d) == "lan")


def test_the_clients_of_a_server_are_there_after_a_restart(pty, daemon, connect):
    a, port, lte = pty("a"), free_port(), pty("lte")
    d = daemon(serial("a", a, framing="line") + serial("lte", lte, framing="line") +
               tcp_server("lan", port, framing="line") +
               route("r", **{"from": "a", "to": "lan lte"}, prefer="to",
                     fail_after="1h", recover_after="1ms"))
    # A server that is up has no time: what is sent to it without a client is lost.
    wait_for(lambda: used(d) == "lte")
    client = connect(port)
    wait_for(lambda: used(d) == "lan")
    restart(d, [client])
    expect(client, b"2\n", [a.send(b"2\n")])
    assert d.number("routes/r/switches") == 2


def test_a_destination_that_is_slow_by_its_keys_has_not_failed(pty, daemon, clock):
    a, lan, lte = pty("a"), pty("lan"), pty("lte")
    d = daemon(serial("a", a, framing="line") +
               serial("lan", lan, framing="line", frame_gap="1h") +
               serial("lte", lte, framing="line") +
               route("r", **{"from": "a", "to": "lan lte"}, prefer="to"),
               env=clock.env)
    a.send(b"1\n2\n")
    expect(lan, b"1\n", [a])
    for _ in range(10):
        clock.move(d, 1)
        assert used(d) == "lan"
    assert d.number("lan/queued_frames") == 1


@pytest.mark.parametrize("keys, fault", [
    ({"between": "a b", "prefer": "from"}, "'prefer' needs 'from' and 'to'"),
    ({"from": "a", "to": "b", "prefer": "from"}, "needs two or more endpoints in 'from'"),
    ({"from": "a", "to": "b c", "prefer": "to", "live_match": "x"},
     "'live_match' is for sources"),
    ({"from": "a", "to": "b c", "fail_after": "1s"}, "'fail_after' is only valid with"),
    ({"from": "a b", "to": "c", "prefer": "from", "exchange": "any"},
     "'prefer' does not go with 'exchange'"),
])
def test_faults(directory, keys, fault):
    file = directory / "x.conf"
    file.write_text("".join(section("serial", n, device=f"/dev/{n}") for n in "abc") +
                    route("r", **keys))
    done = run("-c", file, "--check")
    assert done.returncode == 2 and fault in done.stderr, done.stderr
