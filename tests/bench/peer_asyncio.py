"""A bridge as the documentation of pyserial-asyncio has it: peer_asyncio.py raw|line DIR PAIRS
joins DIR/A0 with DIR/B0 and so on; peer_asyncio.py tcp DIR PORT, DIR/A0 with TCP clients."""
import asyncio
import sys

import serial_asyncio

mode, directory, number = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Raw(asyncio.Protocol):
    other = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.other:
            self.other.transport.write(data)

    def pause_writing(self):
        self.other.transport.pause_reading()

    def resume_writing(self):
        self.other.transport.resume_reading()


async def lines(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()


async def pair(a, b):
    loop = asyncio.get_running_loop()
    if mode == "raw":
        ends = [(await serial_asyncio.create_serial_connection(
            loop, Raw, path, baudrate=115200))[1] for path in (a, b)]
        ends[0].other, ends[1].other = ends[1], ends[0]
        await asyncio.Event().wait()
    (ra, wa), (rb, wb) = [await serial_asyncio.open_serial_connection(
        url=path, baudrate=115200) for path in (a, b)]
    await asyncio.gather(lines(ra, wb), lines(rb, wa))


async def tcp():
    reader, writer = await serial_asyncio.open_serial_connection(
        url=f"{directory}/A0", baudrate=115200)
    clients = set()

    async def client(its_reader, its_writer):
        clients.add(its_writer)
        while data := await its_reader.read(65536):
            writer.write(data)
            await writer.drain()
        clients.discard(its_writer)

    await asyncio.start_server(client, "127.0.0.1", number)
    while data := await reader.read(65536):
        for c in list(clients):
            c.write(data)
        for c in list(clients):
            await c.drain()


async def main():
    if mode == "tcp":
        await tcp()
    else:
        await asyncio.gather(*(pair(f"{directory}/A{i}", f"{directory}/B{i}")
                               for i in range(number)))

asyncio.run(main())
