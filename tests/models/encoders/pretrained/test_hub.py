"""The hub is asked only for what is not in the cache; whoever is offline hears of it at once."""

import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from ost_lightning.errors import CheckpointError
from ost_lightning.models import VideoCLIP
from ost_lightning.models.encoders.pretrained import hub
from ost_lightning.models.encoders.pretrained.hub import PATIENCE, local_files_only
from ost_lightning.resources import tiny_clip_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on a machine that does not know whether it is online."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "_reached", set())
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    return tmp_path / "hub"


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")


@pytest.fixture
def slow_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server that accepts connections at once, and answers after the time limit."""
    asked: list[str] = []

    class Slow(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            time.sleep(0.3)
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


def fill(cache: Path, without: tuple[str, ...] = (), unknown: tuple[str, ...] = ()) -> None:
    """Fills the cache with the tiny CLIP as `someone/clip`; the hub has no `unknown` files."""
    repository = cache / "models--someone--clip"
    snapshot = repository / "snapshots" / "abc"
    shutil.copytree(tiny_clip_folder(), snapshot)
    for name in (*without, *unknown):
        (snapshot / name).unlink(missing_ok=True)
    for name in unknown:
        (repository / ".no_exist" / "abc").mkdir(parents=True, exist_ok=True)
        (repository / ".no_exist" / "abc" / name).touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")


@pytest.mark.usefixtures("closed_port")
def test_whoever_is_offline_hears_of_it_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"'someone/clip' on this machine: .*127\.0\.0\.1:\d+ can't be reached"):
        VideoCLIP("someone/clip")
    assert time.monotonic() - began < 30  # the retries of the client of the hub take a minute


def test_an_address_that_is_looked_up_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://nowhere.invalid")

    def forever(*_: object, **__: object) -> list[object]:
        time.sleep(1)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", forever)
    monkeypatch.setenv(PATIENCE, "0.1")
    with pytest.raises(CheckpointError, match=rf"nowhere\.invalid doesn't answer within 0\.1 s .*{PATIENCE} to more"):
        local_files_only("someone/clip")


def test_a_firewall_that_drops_packets_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as full, closing(socket.socket()) as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())  # there is room for no other
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{full.getsockname()[1]}")
        monkeypatch.setenv(PATIENCE, "0.1")
        with pytest.raises(CheckpointError, match=r"doesn't answer within 0\.1 s"):
            local_files_only("someone/clip")


def test_a_proxy_that_reaches_nothing_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is the proxy; it does not know CONNECT."""
    with closing(socket.socket()) as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()

        def refuse() -> None:
            with proxy.accept()[0] as client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": address})
        monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
        with pytest.raises(CheckpointError, match=r"hub\.invalid can't be reached \(Tunnel connection failed: 503"):
            local_files_only("someone/clip")


def test_a_slow_connection_is_a_connection(slow_server: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "0.15")
    assert not local_files_only("someone/clip")
    assert not local_files_only("someone/else")
    assert len(slow_server) == 1  # once it has answered, it is not asked again


@pytest.mark.usefixtures("closed_port")
def test_a_model_in_the_cache_needs_no_connection(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(cache, unknown=("preprocessor_config.json",))
    monkeypatch.setattr(hub, "_unreachable", None)  # is not even asked
    assert VideoCLIP("someone/clip").image_size == 48


def test_an_incomplete_model_is_completed(cache: Path, slow_server: list[str]) -> None:
    fill(cache, without=("model.safetensors",))
    assert not local_files_only("someone/clip")


def test_statistics_that_nobody_has_looked_for_are_asked_for(cache: Path, slow_server: list[str]) -> None:
    """Otherwise a cache that another program filled would give the model other pixel statistics."""
    fill(cache, without=("preprocessor_config.json",))
    assert not local_files_only("someone/clip")


def test_a_server_behind_a_proxy_that_urllib_does_not_know_is_left_to_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"all": "socks5://127.0.0.1:9"})
    assert not local_files_only("someone/clip")


@pytest.mark.parametrize("pretrained", ["tiny", ".", "no/such/folder/at/all", "/no/folder"])
def test_what_is_no_hub_id_is_not_asked_for(pretrained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_unreachable", None)
    assert local_files_only(pretrained)
