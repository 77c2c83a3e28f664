"""silence_timeout: an endpoint that sends nothing is opened again."""
import os

import pytest

from harness import (FAULTS, expect, free_port, pump, run, section, serial, tcp_server,
                     wait_for)


@pytest.fixture
def sensor(pty, daemon, clock):
    def start(**keys):
        a, b = pty("sensor"), pty("out")
        d = daemon(serial("sensor", a, framing="line", silence_warning="none",
                          silence_timeout="30s", **keys) +
                   serial("out", b, framing="line", silence_warning="none"),
                   env=clock.env)
        return a, b, d
    return start


def test_a_silent_endpoint_is_opened_again(sensor, clock):
    a, b, d = sensor()
    task = d.tasks()["sensor.silence"]
    assert task["state"] == "waiting" and task["label"].endswith(
        "which is opened again after 30s without one")
    clock.move(d, 29)
    expect(b, b"one\n", [a.send(b"one\n")])
    clock.move(d, 29)
    assert d.number("sensor/silences") == 0 and d.number("sensor/opens") == 1
    # Bytes that are no frame are no life.
    a.send(b"half")
    wait_for(lambda: a.turn(4) or d.number("sensor/rx_bytes") == 8)
    clock.move(d, 1)
    wait_for(lambda: d.number("sensor/opens") == 2)
    assert d.number("sensor/silences") == 1 and d.state("sensor") == "up"
    assert "sensor: no frame was received within 30s: it is opened again" in d.stderr()
    expect(b, b"two\n", [a.send(b"two\n")])
    clock.move(d, 29)
    clock.move(d, 31)
    wait_for(lambda: d.number("sensor/silences") == 2)


def test_one_that_is_paused_or_down_is_not_silent(sensor, clock):
    a, b, d = sensor()
    d.control("pause sensor")
    clock.move(d, 40)
    d.control("resume sensor")
    clock.move(d, 29)
    assert d.number("sensor/silences") == 0
    a.unplug()
    wait_for(lambda: d.state("sensor") == "lost")
    clock.move(d, 60)
    assert d.tasks()["sensor.silence"]["label"] == "nothing: sensor is not up"
    a.plug()
    wait_for(lambda: clock.move(d, 1) or d.state("sensor") == "up")
    assert d.number("sensor/silences") == 0


def test_one_that_waits_for_room_is_not_silent(sensor, clock):
    a, b, d = sensor(queue="64K")
    d.control("set out/queue 100")
    b.reading = False
    wait_for(lambda: a.send(b"." * 99 + b"\n") and
             d.tasks()["sensor.read"]["state"] == "paused")
    for _ in range(4):
        clock.move(d, 20)
    assert d.number("sensor/silences") == 0


def test_the_time_can_be_changed_and_removed(sensor, clock):
    a, b, d = sensor()
    d.control("set sensor/silence_timeout 100s")
    clock.move(d, 99)
    assert d.number("sensor/silences") == 0
    clock.move(d, 1)
    wait_for(lambda: d.number("sensor/silences") == 1)
    d.control("set sensor/silence_timeout none")
    assert "sensor.silence" not in d.tasks()
    clock.move(d, 1000)
    assert d.number("sensor/silences") == 1


def test_a_connection_is_made_again(daemon, clock, directory):
    port = free_port()
    far = daemon(tcp_server("lan", port, framing="line") + section("echo", "e"),
                 name="far")
    d = daemon(section("tcp-client", "c", connect=f"127.0.0.1:{port}", framing="line",
                       silence_timeout="30s") + section("echo", "e"), env=clock.env)
    wait_for(lambda: d.state("c") == "up")
    clock.move(d, 30)
    wait_for(lambda: d.number("c/silences") == 1 and d.state("c") == "up")
    wait_for(lambda: [p["name"] for p in far.json("peers")] == ["lan#2"])


@pytest.mark.parametrize("text", [
    tcp_server("s", 5011, silence_timeout="1s"),
    section("udp", "s", listen="127.0.0.1:5011", silence_timeout="1s"),
    section("echo", "s", silence_timeout="1s")])
def test_it_is_for_a_single_link(directory, text):
    file = directory / "x.conf"
    file.write_text(text + section("pty", "p", link="/tmp/p"))
    done = run("-c", file, "--check")
    assert done.returncode == 2
    assert f"{file}:1: " not in done.stderr
    assert "'silence_timeout' is for a single link" in done.stderr
