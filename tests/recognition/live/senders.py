"""Real streams on loopback: MPEG-TS over HTTP and UDP, sent in real time."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import av

from tests.videos import write_video

OPTIONS = {"g": "5", "bf": "0", "sc_threshold": "0", "tune": "zerolatency"}


def write_stream(file: Path, count: int = 100, seed: int = 0) -> Path:
    """Writes frames at 25 per second as MPEG-TS, with a keyframe every 0.2 s."""
    return write_video(file, count, options=OPTIONS, seed=seed)


def paced(file: Path, speed: float = 1.0) -> Iterator[bytes]:
    """Yields the packets of an MPEG-TS file at the times at which they are due."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        due = [
            (float(packet.pts * packet.time_base), packet.pos)
            for packet in container.demux(stream)
            if packet.pts is not None and packet.pos is not None and packet.time_base is not None
        ]
    data, began, first = file.read_bytes(), time.monotonic(), due[0][0]
    starts = [0, *(position for _, position in due[1:]), len(data)]
    for number, (second, _) in enumerate(due):
        time.sleep(max(0.0, began + (second - first) / speed - time.monotonic()))
        yield data[starts[number] : starts[number + 1]]


class Broadcast(ThreadingHTTPServer):
    """Server that sends a file in real time to each client, and then closes the connection.

    Args:
        files: File for each connection in turn; further ones are refused with status 503.
    """

    daemon_threads = True

    def __init__(self, files: list[Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.connections = files, 0

    @property
    def url(self) -> str:
        return f"http://me:secret@127.0.0.1:{self.server_port}/live"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    server: Broadcast

    def do_GET(self) -> None:
        number = self.server.connections
        self.server.connections += 1
        if number >= len(self.server.files):
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        for packet in paced(self.server.files[number]):
            self.wfile.write(packet)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def broadcasting(*files: Path) -> Iterator[Broadcast]:
    """Runs the server in threads."""
    server = Broadcast(list(files))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def sending_datagrams(file: Path) -> Iterator[str]:
    """Sends a file again and again by UDP, in real time, and yields the URL at which it is received."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stopped = Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not stopped.is_set():
                for packet in paced(file):
                    for start in range(0, len(packet), 1316):
                        sender.sendto(packet[start : start + 1316], ("127.0.0.1", port))
                    if stopped.is_set():
                        return

    thread = Thread(target=send, daemon=True)
    thread.start()
    try:
        yield f"udp://127.0.0.1:{port}"
    finally:
        stopped.set()
        thread.join()
