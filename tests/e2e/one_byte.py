"""A relay that hands answers on one byte at a time, as a bad network may."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, size: int) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(size):
            target.write(chunk)
            await target.drain()
    with suppress(ConnectionError, OSError):
        if target.can_write_eof():
            target.write_eof()


async def _serve(listener: socket.socket, port: int, stop: asyncio.Event) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        # Without this the system would put the bytes together again.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                _carry(reader, upstream_writer, 65536), _carry(upstream_reader, writer, 1)
            )
        writer.close()
        upstream_writer.close()

    async with await asyncio.start_server(relay, sock=listener) as server:
        await stop.wait()
        server.close()
    # Who went away may have left an answer that is still on its way, and who has just come is
    # being let in while others are ended.
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.05)


@contextmanager
def one_byte_at_a_time(port: int) -> Iterator[int]:
    """A loopback port that relays to `port`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        loop, stop = asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(
            target=loop.run_until_complete, args=(_serve(listener, port, stop),), daemon=True
        )
        thread.start()
        yield listener.getsockname()[1]
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()
