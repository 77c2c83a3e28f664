#!/usr/bin/python3
"""
A fleet: many daemons with pseudo-terminals publish to one mosquitto, and some of them also receive
everything.  Numbered frames are written to the pseudo-terminals, while the broker is stopped and
started ten times, daemons are stopped, replaced and killed, and links are dropped.  Then all is left
to drain, and must add up:

    - with clean stops each frame has arrived once, in order, at each receiver
    - with --kill, of each receiver: what arrived, was counted as missing, and was in its memory when
      it was killed, is what the senders have accepted; in order, and nothing twice
    - all that was offered to a daemon was sent, and nothing waits

    fleet.py [--hosts N] [--ptys N] [--seconds N] [--rate N] [--receivers N] [--kill] [--seed N]

On a failure the directory with the logs is kept.
"""
import argparse
import asyncio
import collections
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from hosts import PATIENCE, Broker, Discrepancy, Host, Receiver, until

BROKER_STOPS = 10
# Of each host, on average.
DISTURBANCE_INTERVAL = 4
# Of the disturbances.
RECEIVERS_SHARE = 0.2
TICK = 0.02
FAULTS_SHOWN = 20


class Fleet:
    def __init__(self, args, directory):
        self.args, self.directory = args, directory
        self.random = random.Random(args.seed)
        self.broker = Broker(directory, save=3 if args.kill else 0)
        self.hosts = []
        self.faults = []
        self.done = collections.Counter()
        self.writing = False
        self.tasks = []             # that run for ever
        for i in range(args.hosts):
            kind = Receiver if i < args.receivers else Host
            self.hosts.append(kind(directory, f"h{i:03d}", self.broker, args.ptys))
        self.receivers = self.hosts[:args.receivers]
        self.ttys = {(h.name, t.name): t for h in self.hosts for t in h.ttys}

    def fault(self, kind, text):
        """A gap may be what a kill has left; the sums show that at the end."""
        if self.args.kill and kind in ("gap", "cut"):
            return
        self.faults.append(text)

    # --- traffic

    async def write(self):
        """Writes frames of random lengths, at about the rate, until the end."""
        per_tick = self.args.rate * TICK
        while True:
            begun = time.monotonic()
            for h in self.hosts:
                for t in h.ttys if self.writing and not h.paused else ():
                    if self.random.random() < per_tick:
                        t.write(self.random.randrange(150))
            await asyncio.sleep(max(0, TICK - (time.monotonic() - begun)))

    def lagging(self):
        """Pseudo-terminals of which not all receivers have the last frame."""
        return [t for key, t in self.ttys.items()
                if any(r.last.get(key, 0) < t.written for r in self.receivers)]

    async def arrive(self, what):
        """Until all receivers have the last frame of each pseudo-terminal."""
        end = time.monotonic() + PATIENCE
        again = time.monotonic() + 3
        while late := self.lagging():
            self.check()
            now = time.monotonic()
            if now > end:
                t = late[0]
                raise Discrepancy(
                    f"{what}: {len(late)} pseudo-terminals are behind, such as {t.host.name}/"
                    f"{t.name} with {t.written} frames; " + ", ".join(
                        f"{r.name} has {r.last.get((t.host.name, t.name), 0)}"
                        for r in self.receivers))
            if self.args.kill and now > again:
                # A killed broker may have forgotten it, and who subscribes.
                for t in late:
                    t.write(0)
                again = now + 3
            await asyncio.sleep(0.02)

    def check(self):
        if self.faults:
            raise Discrepancy("\n".join(self.faults[:FAULTS_SHOWN]))
        for task in self.tasks:
            if task.done():
                task.result()

    # --- disturbances

    async def stop_broker(self):
        hard = self.args.kill and self.random.random() < 0.5
        await self.broker.end(signal.SIGKILL if hard else signal.SIGTERM)
        await asyncio.sleep(self.random.random() * 0.5)
        await self.broker.start()
        self.done["kills of the broker" if hard else "stops of the broker"] += 1

    async def disturb_broker(self):
        period = self.args.seconds / BROKER_STOPS
        begun = time.monotonic()
        for i in range(BROKER_STOPS):
            at = begun + period * (i + self.random.random() * 0.5)
            await asyncio.sleep(max(0, at - time.monotonic()))
            await self.stop_broker()

    async def disturb(self, h):
        """Does one thing to a host."""
        r = self.random
        tty = r.choice(h.ttys)
        kinds = ["stop", "replace", "drop", "drop", "reopen", "reopen a link"]
        kind = r.choice(kinds + ["kill", "kill"] * self.args.kill)
        pause = r.random() * 0.3
        if kind in ("stop", "kill"):
            await (h.stop() if kind == "stop" else self.kill(h))
            await asyncio.sleep(pause)
            await h.start()
        elif kind == "replace":
            await h.replace()
        elif kind == "drop":
            await h.drop(tty, pause)
        elif kind == "reopen":
            await h.reopen_tty(tty)
        else:
            names = ["up", "all"] if isinstance(h, Receiver) else ["up"]
            await h.reopen(r.choice(names))
        self.done[kind + " of a receiver" * isinstance(h, Receiver)] += 1

    async def kill(self, h):
        await h.kill()
        if isinstance(h, Receiver):
            self.reckon(h)

    def reckon(self, r):
        """A receiver was killed: what it had accepted, and not passed on, is lost."""
        heard = r.heard()
        accepted = sum(heard.sequence.values())
        lost = accepted - r.arrived - heard.missing
        latest = sum(heard.sequence.get(key, 0) - self.ttys[key].sequence_of(number)
                     for key, number in r.last.items())
        if not r.lost <= lost <= r.lost + latest:
            self.faults.append(
                f"{r.name} was killed; accepted {accepted}, arrived {r.arrived},"
                f" missing {heard.missing}, lost before {r.lost}; after the last ones that"
                f" arrived come {latest}")
        r.lost = lost

    async def disturb_hosts(self, end):
        running = set()

        async def one(h):
            try:
                await self.disturb(h)
            finally:
                h.busy = False
        interval = DISTURBANCE_INTERVAL / len(self.hosts)
        while time.monotonic() < end:
            await asyncio.sleep(self.random.random() * 2 * interval)
            self.check()
            for task in [t for t in running if t.done()]:
                running.remove(task)
                task.result()
            among = self.receivers if self.random.random() < RECEIVERS_SHARE else self.hosts
            free = [h for h in among if not h.busy]
            if free:
                h = self.random.choice(free)
                h.busy = True
                running.add(asyncio.create_task(one(h)))
        await asyncio.gather(*running)

    # --- from the beginning to the end

    async def start(self):
        await self.broker.start()
        for r in self.receivers:
            self.tasks.append(asyncio.create_task(r.read(self.fault)))
        # Receivers first: what comes before they subscribe is not for them.
        for h in self.hosts:
            await h.start()
            if isinstance(h, Receiver):
                await self.up(h)
        await asyncio.gather(*map(self.up, self.hosts))
        for t in self.ttys.values():
            t.write(0)
        await self.arrive("at the beginning")
        self.tasks.append(asyncio.create_task(self.write()))

    async def up(self, h):
        """Until all of its endpoints are up."""
        end = time.monotonic() + PATIENCE
        while down := [row["name"] for row in await self.endpoints(h) if row["state"] != "up"]:
            if time.monotonic() > end:
                raise Discrepancy(f"{h.name}: {', '.join(down)} not up")
            await asyncio.sleep(0.02)

    @staticmethod
    async def endpoints(h):
        return json.loads((await h.ask("json endpoints"))[0])

    async def run(self):
        await self.start()
        self.writing = True
        end = time.monotonic() + self.args.seconds
        await asyncio.gather(self.disturb_hosts(end), self.disturb_broker())
        await asyncio.sleep(max(0, end - time.monotonic()))
        self.writing = False
        await asyncio.gather(*map(self.up, self.hosts))
        await asyncio.gather(*(h.taken() for h in self.hosts))
        for t in self.ttys.values():
            t.write(0)
        await self.arrive("at the end")
        await self.add_up()
        await asyncio.gather(*(h.stop() for h in self.hosts))
        self.check()

    # --- sums

    async def add_up(self):
        await asyncio.gather(*(h.taken() for h in self.hosts))
        await asyncio.gather(*map(self.settled, self.hosts))
        sent = {}
        for h in self.hosts:
            sent |= h.sent()
        for r in self.receivers:
            await self.compare(r, sent)
        self.check()

    async def settled(self, h):
        """What was offered to the broker was delivered, and nothing waits."""
        end = time.monotonic() + PATIENCE
        while (n := [await h.number(f"up/{x}") for x in (
                "offered", "tx_frames", "dropped", "queued_frames")])[3] > 0:
            if time.monotonic() > end:
                raise Discrepancy(f"{h.name}: {n[3]} frames are not confirmed")
            await asyncio.sleep(0.02)
        offered, delivered, dropped, _ = n
        if offered != delivered + dropped or dropped > 0:
            self.faults.append(f"{h.name}/up: offered {offered}, delivered {delivered},"
                               f" dropped {dropped}")
        for row in await self.endpoints(h):
            if row["dropped"] or row["errors"] and not self.args.kill:
                self.faults.append(f"{h.name}/{row['name']}: {row['dropped']} dropped,"
                                   f" {row['errors']} errors")

    async def compare(self, r, sent):
        heard = r.heard().sequence
        for key, sequence in sent.items():
            tty = self.ttys[key]
            at = (sequence, heard.get(key, 0), tty.sequence_of(r.last.get(key, 0)))
            if len(set(at)) > 1:
                self.faults.append(f"{'/'.join(key)}: {r.name} has sequence {at[1]} and the frame"
                                   f" of {at[2]}, but {sequence} was sent")
        missing, duplicate = [await r.number(f"all/{x}") for x in ("missing", "duplicate")]
        offered = sum(sent.values())
        if r.arrived + missing + r.lost != offered:
            self.faults.append(f"{r.name}: offered {offered}, but arrived {r.arrived},"
                               f" missing {missing}, lost by kills of it {r.lost}")
        if not self.args.kill and missing:
            self.faults.append(f"{r.name}: {missing} missing")
        lost = f", {r.lost} lost by kills of it" if self.args.kill else ""
        print(f"{r.name}: {offered} offered, {r.arrived} arrived, {missing} missing{lost},"
              f" {duplicate} repeated and dropped")

    def destroy(self):
        for h in self.hosts:
            h.destroy()
        self.broker.destroy()


def arguments():
    p = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter,
                                description=__doc__)
    p.add_argument("--hosts", type=int, default=20)
    p.add_argument("--ptys", type=int, default=5, help="of each host")
    p.add_argument("--seconds", type=float, default=15)
    p.add_argument("--rate", type=float, default=10, help="frames a second of each pty")
    p.add_argument("--receivers", type=int, default=2)
    p.add_argument("--kill", action="store_true", help="kill processes with SIGKILL, too")
    p.add_argument("--seed", type=int, default=None)
    args = p.parse_args()
    args.seed = random.randrange(1 << 32) if args.seed is None else args.seed
    args.receivers = min(args.receivers, args.hosts)
    return args


async def under_signals(fleet):
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await fleet.run()


def main():
    args = arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    directory = Path(tempfile.mkdtemp(prefix="fleet"))
    print(f"{args.hosts} hosts with {args.ptys} ptys, {args.seconds:g}s, seed {args.seed}"
          + (", with kills" if args.kill else ""), flush=True)
    fleet = Fleet(args, directory)
    try:
        asyncio.run(under_signals(fleet))
    except (Discrepancy, asyncio.CancelledError, OSError) as e:
        print(f"FAILED: {e or 'interrupted'}\n{directory} is kept", file=sys.stderr)
        return 1
    finally:
        fleet.destroy()
        print(", ".join(f"{n} {kind}" for kind, n in sorted(fleet.done.items())))
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
