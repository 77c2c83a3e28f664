"""The pictures of README.md: they are current, and what they show is so."""
import re
import subprocess
import sys
from xml.dom import minidom

import pytest

from harness import ROOT, Pty, expect, free_port, run, section, wait_for

PICTURES = ROOT / "tests/pictures"
sys.path.append(str(PICTURES))
import overview                                             # noqa: E402

CONF = PICTURES / "overview.conf"


@pytest.mark.parametrize("name", ["overview", "demo"])
def test_a_picture_is_well_formed_and_small(name):
    file = ROOT / "man" / f"{name}.svg"
    assert file.stat().st_size < 150 * 1024
    root = minidom.parse(str(file)).documentElement
    assert root.tagName == "svg" and root.getElementsByTagName("title")
    # A browser loads nothing else for a picture, and runs nothing in it.
    assert not re.search(r"<script|href=|@import|url\((?!#)", file.read_text())


def test_the_overview_is_current():
    """`make picture` draws it."""
    assert overview.draw(CONF) == (ROOT / "man/overview.svg").read_text()


def test_the_overview_is_right():
    done = run("--check", "-c", CONF)
    assert (done.returncode, done.stderr) == (0, "")


def wire(text):
    """The bytes that are written as in tests/vectors."""
    return b"".join(bytes(word[1:-1], "ascii") if word[0] == '"' else bytes.fromhex(word)
                    for word in re.findall(r'"[^"]*"|[0-9a-f]{2}', text))


def test_what_the_overview_says_is_so(directory, daemon, connect):
    """Except of the broker, in whose place there is a line with the same framing."""
    _, wires, tasks = overview.read(CONF)
    wires = {name: wire(text) for name, text in wires.items() if text}
    here = {"/dev/": f"{directory}/", "127.0.0.1:5011": f"127.0.0.1:{free_port()}",
            "192.0.2.9:6000": f"127.0.0.1:{free_port()}"}
    text, tasks = CONF.read_text(), "\n".join(tasks)
    for old, new in here.items():
        assert old in text and old in tasks
        text, tasks = text.replace(old, new), tasks.replace(old, new)
    ttys = {name: Pty(directory / name) for name in ("ttyACM0", "ttyUSB0", "cloud")}
    text = re.sub(r"\[mqtt cloud\]\n(.*\n){2}",
                  section("serial", "cloud", device=ttys["cloud"].link), text)
    d = daemon(text)
    shown = {row["task"]: (row["state"], row["label"]) for row in d.json("ps")}
    for row in tasks.splitlines():
        name, state, label = re.split(r" {2,}", row, maxsplit=2)
        assert shown[name] == (state, label)
    program = connect(int(re.search(r"(?m)^listen = 127.0.0.1:(\d+)", text)[1]))
    wait_for(lambda: len([row for row in d.json("peers") if row["endpoint"] == "programs"]))
    watch = d.session().send(b"watch -b -x -n 1 station\n")
    wait_for(lambda: any("watch" in row["label"] for row in d.json("ps")))
    ttys["ttyACM0"].send(wires["sensor"])
    for stream, name in ((ttys["ttyUSB0"], "display"), (program, "programs"),
                         (ttys["cloud"], "cloud")):
        expect(stream, wires[name], [ttys["ttyACM0"]])
    body, _ = watch.reply()
    assert bytes.fromhex("".join(body[0].split()[4:])) == wires["station"]
    for tty in ttys.values():
        tty.close()


def test_the_recording_shows_the_demo():
    """Its parts, and that nothing was lost; another `make picture` makes another one."""
    document = minidom.parse(str(ROOT / "man/demo.svg"))
    lines = ["".join(node.data for node in nodes(text))
             for text in document.getElementsByTagName("text")]
    demo = (ROOT / "tests/demo.sh").read_text()
    for heading in re.findall(r"heading (\w+)", demo) + ["Summary", "Now try:"]:
        assert heading in demo and any(line.startswith(heading) for line in lines), heading
    assert "  lost: 0" in lines
    assert max(map(len, lines)) <= 100


def nodes(element):
    for child in element.childNodes:
        if child.nodeType == child.TEXT_NODE:
            yield child
        else:
            yield from nodes(child)


def test_a_recording_has_what_a_program_prints():
    done = subprocess.run(
        [sys.executable, PICTURES / "recording.py", "it", "printf",
         r"\033[1mone\033[0m <two>\nthree\n"], stdout=subprocess.PIPE, text=True, check=True)
    document = minidom.parseString(done.stdout)
    assert ["".join(n.data for n in nodes(text))
            for text in document.getElementsByTagName("text")] == ["$ it", "one <two>", "three"]
    failed = subprocess.run([sys.executable, PICTURES / "recording.py", "it", "false"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert failed.returncode == 1 and failed.stdout == ""
