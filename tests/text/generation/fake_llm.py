"""Local server with OpenAI's chat completion protocol that fails on demand."""

import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_QUESTION = re.compile(r'action "(?P<name>.*?)"(?:: what| down| for)', re.DOTALL)
_COUNT = re.compile(r"(\d+) (descriptors|steps|phrases) in total")
_KINDS = {"descriptors": "spatio", "steps": "temporal", "phrases": "name"}


@dataclass(frozen=True)
class Seen:
    """One chat request.

    Attributes:
        name: Requested class.
        kind: Requested kind, spatio, temporal or name.
        time: Number of earlier requests for the same list.
        body: Body of the request.
        key: API key of the request.
        at: Arrival time in seconds on a monotonic clock.
    """

    name: str
    kind: str
    time: int
    body: dict[str, Any]
    key: str
    at: float

    @property
    def question(self) -> tuple[str, str]:
        return self.name, self.kind

    @property
    def count(self) -> int:
        found = _COUNT.search(self.body["messages"][-1]["content"])
        assert found is not None
        return int(found.group(1))

    def items(self, count: int | None = None) -> list[str]:
        return [f"{self.kind} thing {k} of {self.name}" for k in range(self.count if count is None else count)]


Behavior = Callable[["Reply", Seen], None]
Script = Callable[[Seen], Behavior]


class Reply(BaseHTTPRequestHandler):
    """Handler of one request, with the methods that behaviors call."""

    protocol_version = "HTTP/1.1"
    server: "FakeLLM"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send_json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_bytes(json.dumps(content).encode(), status, headers)

    def send_bytes(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None, more: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) + more))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        if more:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions"
        data = self.rfile.read(int(self.headers["Content-Length"]))
        seen = self.server.see(json.loads(data), self.headers.get("Authorization", ""))
        self.server.script(seen)(self, seen)


def completion(content: object, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """Returns the body of a response."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "fake-llm-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140},
    }


def good(reply: Reply, seen: Seen) -> None:
    content = as_json(seen) if "response_format" in seen.body else as_numbered_list(seen)
    reply.server.answered[seen.question] += 1
    try:
        reply.send_json(completion(content))
    except ConnectionError:  # the client has disconnected
        reply.server.answered[seen.question] -= 1
        raise


def as_json(seen: Seen) -> str:
    return json.dumps({"descriptors": seen.items()})


def as_numbered_list(seen: Seen) -> str:
    return "\n".join(f"{k}. {text}." for k, text in enumerate(seen.items(), start=1))


def says(content: Callable[[Seen], str], finish: str = "stop") -> Behavior:
    """Returns a behavior that answers with a well-formed completion of any content."""
    return lambda reply, seen: reply.send_json(completion(content(seen), finish))


prose_around = says(lambda seen: f"Sure! Here you go:\n\n{as_numbered_list(seen)}\n\nI hope that it helps. Ask again!")
fenced = says(lambda seen: f"```json\n{as_json(seen)}\n```")
too_few = says(lambda seen: json.dumps({"descriptors": seen.items(seen.count - 1)}))
too_many = says(lambda seen: json.dumps({"descriptors": seen.items(seen.count + 2)}))
repeated = says(lambda seen: json.dumps({"descriptors": [seen.items()[0]] * seen.count}))
over_long = says(lambda seen: json.dumps({"descriptors": [*seen.items()[1:], "word " * 60]}))
refused = says(lambda seen: "I'm sorry, but I can't help with that.")
cut_off = says(lambda seen: as_json(seen)[:40], finish="length")
cut_json = says(lambda seen: as_json(seen)[:40])
empty = says(lambda seen: "")


def broken_body(reply: Reply, seen: Seen) -> None:
    """Sends a complete HTTP response with truncated JSON."""
    reply.send_bytes(json.dumps(completion(as_json(seen))).encode()[:60])


def cut_connection(reply: Reply, seen: Seen) -> None:
    """Sends a response that ends before its announced length."""
    reply.send_bytes(json.dumps(completion(as_json(seen))).encode()[:60], more=500)


def error(status: int, message: str = "no", headers: dict[str, str] | None = None, code: str | None = None) -> Behavior:
    """Returns a behavior that answers with an API error."""
    content = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return lambda reply, seen: reply.send_json(content, status, headers)


def hang(reply: Reply, seen: Seen) -> None:
    """Sends nothing until the test is over."""
    reply.server.released.wait()
    reply.close_connection = True


def no_structure(reply: Reply, seen: Seen) -> None:
    """Behaves like a server without support for response_format."""
    if "response_format" in seen.body:
        error(400, "Unknown parameter: 'response_format'.")(reply, seen)
    else:
        good(reply, seen)


class FakeLLM(ThreadingHTTPServer):
    """Fake server; `requests` records the requests.

    Args:
        script: Function that selects the behavior for each chat request.
    """

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.script = script
        self.requests: list[Seen] = []
        self.answered: Counter[tuple[str, str]] = Counter()
        self.released = threading.Event()
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that disconnect, as killed ones do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def see(self, body: dict[str, Any], authorization: str) -> Seen:
        text = body["messages"][-1]["content"]
        question, count = _QUESTION.search(text), _COUNT.search(text)
        assert question is not None, text
        assert count is not None, text
        kind = _KINDS[count.group(2)]
        with self._lock:
            time_ = sum(seen.question == (question["name"], kind) for seen in self.requests)
            seen = Seen(question["name"], kind, time_, body, authorization.removeprefix("Bearer "), time.monotonic())
            self.requests.append(seen)
        return seen


@contextmanager
def serving(script: Script) -> Iterator[FakeLLM]:
    """Runs the server in threads."""
    server = FakeLLM(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
