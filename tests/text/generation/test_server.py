"""Client against servers on the loopback interface that send whatever they like."""

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from ost_lightning.errors import UserError
from ost_lightning.text.generation.answers.reading import read_answer
from ost_lightning.text.generation.answers.responses import MAX_BYTES
from ost_lightning.text.generation.server import NoAnswer, Server
from ost_lightning.text.generation.settings import Limits
from tests.text.generation.fake_llm import completion

ANSWER = json.dumps(completion('{"descriptors": ["a bow", "an arrow"]}'))
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Describe archery."}]}
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Handler = Callable[[socket.socket], None]


@contextmanager
def serving(*handlers: Handler) -> Iterator[str]:
    """Serves each connection with one of the handlers in turn, the last one repeatedly; yields the base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets: list[socket.socket] = []

    def handle(connection: socket.socket, handler: Handler) -> None:
        with suppress(OSError), connection:
            received = b""
            while b"Describe archery." not in received and (piece := connection.recv(65536)):
                received += piece
            handler(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                handler = handlers[min(len(sockets), len(handlers) - 1)]
                sockets.append(connection)
                threading.Thread(target=handle, args=(connection, handler), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def ask(url: str, monkeypatch: pytest.MonkeyPatch, timeout: float = 20, retries: int = 0) -> str:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up-0123456789")

    async def run() -> str:
        async with Server(Limits(timeout=timeout, retries=retries)) as server:
            return await server.ask(REQUEST)

    return asyncio.run(run())


def respond(body: bytes, head: bytes = OK) -> Handler:
    def handler(connection: socket.socket) -> None:
        connection.sendall(head + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    return handler


def drip(head: bytes, piece: bytes) -> Handler:
    """Sends a piece twenty times per second, so that the connection is never silent."""

    def handler(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(400):
            connection.sendall(piece)
            time.sleep(0.05)

    return handler


def flood(head: bytes, piece: bytes) -> Handler:
    def handler(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return handler


def redirect(connection: socket.socket) -> None:
    host, port = connection.getsockname()
    location = f"http://{host}:{port}/v1/chat/completions?again"
    connection.sendall(
        f"HTTP/1.1 307 Go\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )


def slow_redirect(connection: socket.socket) -> None:
    time.sleep(0.2)
    redirect(connection)


SLOW = {
    "blanks in the body": drip(OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "headers": drip(OK, b"X-More: yes\r\n"),
    "one header": drip(OK + b"X-More: ", b"y"),
    "continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an error": drip(b"HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n", b" "),
    "a redirect": drip(b"HTTP/1.1 307 Go\r\nLocation: /v1/x\r\nContent-Length: 100000\r\n\r\n", b" "),
    "redirects": slow_redirect,
    "nothing": lambda connection: time.sleep(20),
}


@pytest.mark.parametrize("behavior", SLOW)
def test_requests_end_within_their_timeout(behavior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(SLOW[behavior]) as url:
        started = time.monotonic()
        with pytest.raises(NoAnswer):
            ask(url, monkeypatch, timeout=0.5)
        assert time.monotonic() - started < 15  # they would take 20 s


def test_slow_responses_are_requested_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(SLOW["blanks in the body"], respond(ANSWER.encode())) as url:
        assert ask(url, monkeypatch, timeout=1.5, retries=8) == ANSWER


def test_redirects_are_followed_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(redirect, redirect, respond(ANSWER.encode())) as url:
        assert ask(url, monkeypatch) == ANSWER
    with serving(redirect) as url, pytest.raises(NoAnswer):
        ask(url, monkeypatch)


@pytest.mark.parametrize("head", ["Content-Length: 1000000000000", "Connection: close"])
def test_long_responses_are_cut_off(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(flood(OK + f"{head}\r\n\r\n".encode(), b"x" * 65536)) as url:
        body = ask(url, monkeypatch)
    assert len(body) == MAX_BYTES + 1
    assert read_answer(body, "spatio", 2, 25).problem == "it was longer than 2 MB"


def test_compressed_responses_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b" " * 20_000_000)
    assert len(packed) < 100_000
    with serving(respond(packed, OK + b"Content-Encoding: gzip\r\n")) as url:
        assert len(ask(url, monkeypatch)) == MAX_BYTES + 1
    with serving(respond(gzip.compress(ANSWER.encode()), OK + b"Content-Encoding: gzip\r\n")) as url:
        assert ask(url, monkeypatch) == ANSWER


def test_long_errors_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000000000\r\n\r\n"
    with serving(flood(head, b"x" * 65536)) as url, pytest.raises(NoAnswer) as caught:
        ask(url, monkeypatch)
    assert len(str(caught.value)) <= 300


def test_errors_in_responses_of_status_200_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    overloaded = respond(json.dumps({"error": {"message": "Provider is overloaded", "code": 502}}).encode())
    with serving(overloaded, respond(ANSWER.encode())) as url:
        assert ask(url, monkeypatch, retries=1) == ANSWER
    with serving(overloaded) as url, pytest.raises(NoAnswer, match="Provider is overloaded"):
        ask(url, monkeypatch)


def test_permanent_errors_in_responses_of_status_200_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = respond(json.dumps({"error": {"message": "no model m", "code": 404}}).encode())
    with serving(unknown) as url, pytest.raises(UserError, match=r"has no such model or address.*no model m"):
        ask(url, monkeypatch)


@pytest.mark.parametrize("message", ["stop \x1b[31mred", "stop \u202ederever", "stop \x00"])
def test_messages_are_printable(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 400 No\r\nContent-Type: text/plain\r\n"
    with serving(respond(message.encode(), head)) as url, pytest.raises(UserError) as caught:
        ask(url, monkeypatch)
    assert str(caught.value).isprintable()


WORDS = '{"id": "1", "choices": [{"message": {"content": "a test tube, a token, a book, none else"}}], "n": 0}'


@pytest.mark.parametrize(
    "key", ["k", "1", "0", "test", "token", "none", "EMPTY", "a", "content", "choices", "counterclockwise"]
)
def test_a_key_that_is_a_word_leaves_answers_alone(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", key)
    answer = WORDS.replace("none else", f"{key} {key}s")
    assert Server(Limits()).hide(answer) == answer


@pytest.mark.parametrize("key", ["sk-0123456789abcdef", "sk/0123456789/abcdef", 'sk-"0123456789\\abcdef'])
def test_a_key_that_is_no_word_is_removed_from_answers(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for answer in (key, json.dumps({"text": key}), json.dumps({"text": key}).replace("/", "\\/")):
        assert key not in Server(Limits()).hide(answer)
        assert "[key]" in Server(Limits()).hide(answer)


@pytest.mark.parametrize("key", ["hunter2", "test", "7"])
def test_short_keys_are_removed_from_messages(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    message = str(Server(Limits()).failure(ValueError(f"Incorrect key: {key}, contest 77")))
    assert message == "Incorrect key: [key], contest 77"
