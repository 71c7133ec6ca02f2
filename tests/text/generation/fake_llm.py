"""A server on loopback that speaks OpenAI's protocol (chat completions, files, batches) and misbehaves on demand."""

import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ASKED = re.compile(r'action "(?P<name>.*?)"(?:: what| down)', re.DOTALL)
_COUNT = re.compile(r"(\d+) (descriptors|steps) in total")


@dataclass(frozen=True)
class Seen:
    """One chat request.

    Attributes:
        name: Class that it asks for.
        kind: spatio or temporal.
        time: How often the server has been asked this before.
        body: Of the request.
        key: That came with it.
        at: Seconds on a monotonic clock.
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
    """One exchange; behaviors below call its methods."""

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

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].removeprefix("/v1/").split("/")
        if parts[0] == "batches":
            found = self.server.batches
            self.send_json({"object": "list", "data": list(found.values())} if len(parts) == 1 else found[parts[1]])
        elif parts[0] == "files" and parts[-1] == "content":
            self.send_bytes(self.server.files[parts[1]])

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/chat/completions":
            seen = self.server.see(json.loads(data), self.headers.get("Authorization", ""))
            self.server.script(seen)(self, seen)
        elif self.path == "/v1/files":
            self.send_json(self.server.add_file(re.split(rb"\r\n\r\n", data)[-1].rsplit(b"\r\n--", 1)[0], data))
        elif self.path == "/v1/batches":
            self.send_json(self.server.add_batch(json.loads(data)))


def completion(content: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """A response's body."""
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
    except ConnectionError:  # the client had given up
        reply.server.answered[seen.question] -= 1
        raise


def as_json(seen: Seen) -> str:
    return json.dumps({"descriptors": seen.items()})


def as_numbered_list(seen: Seen) -> str:
    return "\n".join(f"{k}. {text}." for k, text in enumerate(seen.items(), start=1))


def says(content: Callable[[Seen], str], finish: str = "stop") -> Behavior:
    """A well-formed completion with any content."""
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
    """A whole HTTP response whose JSON is not."""
    reply.send_bytes(json.dumps(completion(as_json(seen))).encode()[:60])


def cut_connection(reply: Reply, seen: Seen) -> None:
    """A response that ends before the length that it announced."""
    reply.send_bytes(json.dumps(completion(as_json(seen))).encode()[:60], more=500)


def error(status: int, message: str = "no", headers: dict[str, str] | None = None, code: str | None = None) -> Behavior:
    """An error of the API."""
    content = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return lambda reply, seen: reply.send_json(content, status, headers)


def hang(reply: Reply, seen: Seen) -> None:
    """Nothing, until the test is over."""
    reply.server.released.wait()
    reply.close_connection = True


def no_structure(reply: Reply, seen: Seen) -> None:
    """A server that knows no response_format."""
    if "response_format" in seen.body:
        error(400, "Unknown parameter: 'response_format'.")(reply, seen)
    else:
        good(reply, seen)


class FakeLLM(ThreadingHTTPServer):
    """The server; `requests` holds what it was asked.

    Args:
        script: Chooses a behavior for each chat request.
    """

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.script = script
        self.requests: list[Seen] = []
        self.answered: Counter[tuple[str, str]] = Counter()
        self.released = threading.Event()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.batch_polls = 0
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up, as killed ones do, are nothing to talk about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def see(self, body: dict[str, Any], authorization: str) -> Seen:
        text = body["messages"][-1]["content"]
        asked = _ASKED.search(text)
        assert asked is not None, text
        kind = "spatio" if "descriptors in total" in text else "temporal"
        with self._lock:
            time_ = sum(seen.question == (asked["name"], kind) for seen in self.requests)
            seen = Seen(asked["name"], kind, time_, body, authorization.removeprefix("Bearer "), time.monotonic())
            self.requests.append(seen)
        return seen

    def add_file(self, content: bytes, form: bytes) -> dict[str, Any]:
        # the parts of a form come in any order: the file is the one with a name
        part = re.search(rb'filename="[^"]*"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', form, re.DOTALL)
        assert part is not None
        name = f"file-{len(self.files)}"
        self.files[name] = part.group(1)
        return {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "x", "purpose": "batch"}

    def add_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        """A batch, done at once."""
        lines = [json.loads(line) for line in self.files[request["input_file_id"]].splitlines()]
        results = {line["custom_id"]: self._answer_in_batch(line) for line in lines}
        output = [line for line in results.values() if line["response"]["status_code"] == 200]
        errors = [line for line in results.values() if line["response"]["status_code"] != 200]
        name = f"batch-{len(self.batches)}"
        batch = {
            "id": name,
            "object": "batch",
            "endpoint": request["endpoint"],
            "input_file_id": request["input_file_id"],
            "completion_window": "24h",
            "created_at": 1,
            "status": "completed",
            "metadata": request.get("metadata"),
            "request_counts": {"total": len(lines), "completed": len(output), "failed": len(errors)},
        }
        for key, found in (("output_file_id", output), ("error_file_id", errors)):
            if found:
                self.files[f"{name}-{key}"] = "".join(json.dumps(line) + "\n" for line in found).encode()
                batch[key] = f"{name}-{key}"
        self.batches[name] = batch
        return batch

    def _answer_in_batch(self, line: dict[str, Any]) -> dict[str, Any]:
        seen = self.see(line["body"], "")
        recorder = _Recorder(self)
        self.script(seen)(recorder, seen)  # type: ignore[arg-type]
        response = {"status_code": recorder.status, "request_id": "r", "body": recorder.content}
        return {"id": "l", "custom_id": line["custom_id"], "response": response, "error": None}


@dataclass
class _Recorder:
    """Stands in for a reply within a batch."""

    server: FakeLLM
    status: int = 0
    content: Any = field(default=None)

    def send_json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.content, self.status = content, status


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
