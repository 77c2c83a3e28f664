"""The examples of failover and of a machine that confirms each line do what they say."""
from harness import expect, pump, wait_for
from test_manual import example, port_of, sentence      # noqa: F401 (a fixture)


def rmc(status, number):
    return sentence(f"GPRMC,{number},{status},4807.038,N,01131.000,E,0,0,230394,,")


def test_a_boat_whose_receiver_loses_its_position(example, connect):      # noqa: F811
    d, ttys = example("boat-failover.conf", fail_after="300ms", recover_after="1ms")
    for name in ttys:
        d.wait_state(name, "up")
    chart = connect(port_of(d, "navigation"))
    wait_for(lambda: len(d.json("peers")) == 1)
    streams = [*ttys.values(), chart]
    first = rmc("A", 1)
    ttys["gps1"].send(first)
    pump(streams, lambda: first in chart.received)
    # One that says that it does not know counts as one that says nothing.
    seen = rmc("A", 2)

    def both():
        ttys["gps1"].send(rmc("V", 9))
        ttys["gps2"].send(seen)
        return seen in chart.received
    pump(streams, both)
    assert d.get("routes/position/used") == "gps2"
    back = rmc("A", 3)

    def again():
        ttys["gps1"].send(back)
        return back in chart.received
    pump(streams, again)
    assert d.get("routes/position/used") == "gps1"
    # Each ship is heard once.
    chart.take()
    ais = b"!AIVDM,1,1,,A,13u?etPv2;0n:dDPwUM1U1Cb069D,0*24\r\n"
    ttys["ais1"].send(ais)
    ttys["ais2"].send(ais)
    wait_for(lambda: [s.turn(4) for s in streams[:-1]] and
             d.number("routes/ships/duplicate_frames") == 1)
    pump(streams, lambda: ais in chart.received)
    assert chart.received.count(ais) == 1


def test_a_machine_gets_a_line_after_each_ok(example, connect):           # noqa: F811
    d, ttys = example("cnc.conf")
    machine = ttys["machine"]
    d.wait_state("machine", "up")
    sender, watch = connect(port_of(d, "programs")), connect(port_of(d, "watch"))
    wait_for(lambda: len(d.json("peers")) == 2)
    machine.send(b"Grbl 1.1h ['$' for help]\r\n")
    expect(sender, b"Grbl 1.1h ['$' for help]\r\n", [machine])
    program = [b"G1 X%d" % n for n in range(20)]
    sender.send(b"".join(line + b"\n" for line in program))
    for n, line in enumerate(program):
        expect(machine, line + b"\n", [sender])
        # It asks for no more before it has confirmed this one.
        if n == 3:
            machine.send(b"<Run|MPos:0,0,0>\r\n")
            expect(sender, b"<Run|MPos:0,0,0>\r\n", [machine])
        assert not machine.received
        machine.send(b"error:9\r\n" if n == 5 else b"ok\r\n")
        expect(sender, b"error:9\r\n" if n == 5 else b"ok\r\n", [machine])
    pump([watch], lambda: watch.received.count(b"ok\r\n") == 19)
    watch.send(b"G1 X99\n")
    pump([watch], lambda: d.number("watch/refused_frames") == 1)
    assert d.number("routes/lines/answers") == 20
    assert not machine.received
