"""
The page of a web server, in a headless browser: what it shows is what the control port
says.
"""
import json

import pytest

from browser import browser, complaints
from harness import Daemon, expect, route, section, serial, wait_for
from test_http import TOKEN, Web

pytest.importorskip("selenium")


@pytest.fixture
def open_page(directory):
    """Opens the page of a server in a browser; nothing may be complained about."""
    made = []

    def make(web, token=None, live=True, **kwargs):
        b = browser(directory, **kwargs)
        made.append(b)
        b.get(f"http://127.0.0.1:{web.port}/")
        if token:
            wait_for(lambda: b.find_element("id", "token").is_displayed(), what="the form")
            b.find_element("css selector", "#token input").send_keys(token + "\n")
        wait_for(lambda: not live or b.find_element("id", "link").text.endswith("live"),
                 what="the page to be live")
        return b
    yield make
    for b in made:
        b.quit()


def rows(page, table="endpoints"):
    """Name -> the cells of a table's rows."""
    found = page.execute_script(
        "return [...document.querySelectorAll('#' + arguments[0] + ' tbody tr')]"
        ".map(r => [...r.cells].map(c => c.textContent.trim()))", table)
    return {row[0]: row for row in found}


def text(page, id_):
    return page.find_element("id", id_).text


def tasks(page, name):
    """The table has that task; it is asked for only while it is on the screen."""
    page.execute_script("document.getElementById('tasks').scrollIntoView()")
    wait_for(lambda: name in rows(page, "tasks"), what="the tasks")


def choose(page, name):
    page.execute_script(
        "const s = document.getElementById('watch'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('change'))", name)


def test_the_page_sees_boards_sends_and_survives_a_restart(board, pty, directory, open_page):
    ping, pong, spare = board("Ping"), board("PongCobs"), pty("spare")
    web = Web(directory, access="full")
    conf = (serial("ping", ping.link, baud=9600, framing="line", label="<b>asks</b>") +
            serial("pong", pong.link, baud=115200, framing="cobs") +
            serial("spare", spare, framing="line") +
            route("bridge", between="ping pong") + route("none", from_="spare", to="pong", match="^never") +
            web.section)
    with Daemon(directory, conf) as d:
        page = open_page(web, TOKEN)
        wait_for(lambda: set(rows(page)) == {"ping", "pong", "spare"}, what="the endpoints")
        wait_for(lambda: float(rows(page)["ping"][4]) > 0, what="the rate of the pings")
        assert rows(page)["ping"][1] == "up"
        # What devices and people write is text.
        assert rows(page)["ping"][2].startswith("<b>asks</b> (")
        assert text(page, "s-up") == "3 of 3"
        boxes = page.execute_script("return [...document.querySelectorAll('#graph .node')].map(n => n.dataset.name)")
        assert sorted(boxes) == ["ping", "pong", "spare"]
        tasks(page, "ping.read")
        # The last frames, as text and as hex.
        choose(page, "ping")
        wait_for(lambda: "got" in text(page, "frames"), what="the frames")
        page.find_element("id", "hex").click()
        wait_for(lambda: "70 69 6e 67 20" in text(page, "frames"), what="hexadecimal")
        # A frame is sent, and the next one is the answer.
        choose(page, "spare")
        box = page.find_element("css selector", "#send input")
        box.send_keys(r"hello \x41")
        page.find_element("css selector", "#send button[value=send]").click()
        expect(spare, b"hello A\n")
        wait_for(lambda: text(page, "answer") == "sent to spare", what="the result")
        box.clear()
        box.send_keys("how?")
        page.find_element("css selector", "#send button[value=ask]").click()
        expect(spare, b"how?\n")
        spare.send(b"<i>well</i>\n")
        wait_for(lambda: text(page, "answer") == "spare: <i>well</i>", what="the answer")
        pid = d.pid
    wait_for(lambda: "reconnecting" in text(page, "link"), what="the end to be noticed")
    with Daemon(directory, conf) as d:
        assert d.pid != pid
        wait_for(lambda: text(page, "link").endswith("live"), what="the page to come back")
        wait_for(lambda: float(rows(page)["ping"][4]) > 0, what="the rate after the restart")
        shown = page.execute_script("return total.rate.filter(v => v).length")
        assert shown > 1, "the plot goes on"
    assert complaints(page) == []


def test_the_page_with_500_endpoints(daemon, pty, directory, open_page):
    a, web = pty("a"), Web(directory)
    daemon(serial("a", a, framing="line") + web.section +
           "".join(section("echo", f"e{i}") for i in range(500)) +
           route("there", from_="a", to="e0") +
           "".join(route(f"r{i}", from_=f"e{i}", to="a") for i in range(500)))
    page = open_page(web)
    wait_for(lambda: len(rows(page)) == 50, what="the busiest")
    assert text(page, "ep-note") == "the busiest 50 of 501"

    def busiest():
        a.send(b"x\n" * 20)
        a.take()
        return "a" in rows(page)
    wait_for(busiest, timeout=30, what="the endpoint with traffic")
    assert page.execute_script("return document.querySelectorAll('#graph .node').length") <= 20
    # By keyboard alone.
    body = page.find_element("tag name", "body")
    body.send_keys("/")
    page.switch_to.active_element.send_keys("e49")
    wait_for(lambda: set(rows(page)) == {"e49", *(f"e49{i}" for i in range(10))}, what="the search")
    page.execute_script("document.querySelector('#endpoints tbody tr').focus()")
    page.switch_to.active_element.send_keys("\n")
    wait_for(lambda: text(page, "rate-of") == "e49", what="the choice")
    # A second's work of the page is much less than a second.
    took = page.execute_script(
        "const t = performance.now(); for (let i = 0; i < 5; i++) draw(); return performance.now() - t")
    assert took < 5000
    assert complaints(page) == []


def test_routes_are_drawn_with_their_directions(pty, daemon, directory, open_page):
    web = Web(directory)
    daemon("".join(serial(n, pty(n), framing="line") for n in ("ar1", "ar2", "lan")) +
           route("bridge", between="ar1 ar2") + route("listen", from_="ar1 ar2", to="lan") + web.section)
    page = open_page(web)
    wait_for(lambda: len(rows(page)) == 3, what="the endpoints")
    # An arrowhead is at the end of a line; is that the endpoint, or the route?
    lines = page.execute_script("""return $("graph").edges.map(l => {
        const head = /^url\\("?#(.+?)"?\\)$/.exec(l.path.getAttribute("marker-end"));
        const p = l.path.getPointAtLength(l.path.getTotalLength());
        return [l.route.name, l.end.name, document.getElementById(head[1]).tagName,
            Math.hypot(p.x - l.end.gx, p.y - l.end.gy) < 10 ? "to" : "from"]; })""")
    assert {tuple(line) for line in lines} == {
        ("listen", "ar1", "marker", "from"), ("listen", "ar2", "marker", "from"), ("listen", "lan", "marker", "to"),
        *(("bridge", name, "marker", way) for name in ("ar1", "ar2") for way in ("from", "to"))}
    assert complaints(page) == []


def test_the_page_asks_for_the_token(pty, daemon, directory, open_page):
    web = Web(directory, access="full")
    daemon(serial("a", pty("a")) + web.section)
    page = open_page(web, live=False)
    wait_for(lambda: text(page, "link").endswith("token needed"), what="the question")
    box = page.find_element("css selector", "#token input")
    assert box.is_displayed() and text(page, "why") == ""
    box.send_keys("wrong\n")
    wait_for(lambda: text(page, "why") == "the token is not that of token_file", what="the refusal")
    assert text(page, "link").endswith("token needed")
    box.clear()
    box.send_keys(TOKEN + "\n")
    wait_for(lambda: text(page, "link").endswith("live"), what="the page to be live")
    assert not box.is_displayed()


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_on_a_phone(pty, daemon, directory, open_page, dark):
    web = Web(directory)
    daemon(serial("a-rather-long-name", pty("a"), framing="line", label="of the device in the far corner") +
           serial("b", pty("b")) + web.section)
    page = open_page(web, dark=dark)
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                         {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    wait_for(lambda: len(rows(page)) == 2)
    # Nothing is wider than the screen.
    wait_for(lambda: page.execute_script("return document.documentElement.scrollWidth") <= 360,
             what="the page to fit")
    about = "const a = document.getElementById('about'); return a.scrollWidth <= a.clientWidth && a.textContent"
    wait_for(lambda: (page.execute_script(about) or "").endswith("access read"), what="all of the first lines")
    # Each number has a unit.
    assert text(page, "graph-note") == "rates in frames per second"
    titles = page.execute_script("return [...document.querySelectorAll('#endpoints th')].map(t => t.textContent)")
    assert [t for t in titles if " " in t or "/" in t] == [
        "IN frames/s", "OUT frames/s", "BYTES/s", "QUEUE bytes", "DROPPED frames"]
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    bright = sum(json.loads("[" + colour[4:-1] + "]")) > 3 * 128
    assert bright is not dark
    wait_for(lambda: "b is raw" in text(page, "warnings"), what="the warning")
    # The layout stays as it is while counters change.
    place = "return [...document.querySelectorAll('section')].map(s => s.getBoundingClientRect().top)"
    tasks(page, "b.read")
    before = page.execute_script(place)
    page.execute_script("window.seen = last")
    wait_for(lambda: page.execute_script("return last > window.seen + 2"), what="new counters")
    assert page.execute_script(place) == before
