"""Uploads to a hub that the test plays itself, on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from ost_lightning.errors import UserError
from ost_lightning.export.hub import upload, write_token


class FakeHub(ThreadingHTTPServer):
    """Accepts a token, creates repositories and keeps the files of commits."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.tokens: set[str] = set()
        self.created: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._reply(404, {"error": "Repository not found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.server.tokens.add(token)
        if token != "good":  # noqa: S105
            self._reply(401, {"error": "Invalid credentials"})
        elif self.path == "/api/repos/create":
            name = json.loads(body)
            self.server.created.append(f"{name.get('organization', '')}/{name['name']}")
            self._reply(200, {"url": f"{self.server.address}/me/model"})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            self._reply(200, {"files": modes})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._reply(200, {"commitUrl": f"{self.server.address}/me/model/commit/1", "commitOid": "1"})
        else:
            self._reply(200, {"errors": [], "warnings": []})

    def _reply(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    server = FakeHub()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("# a model\n")
    (tmp_path / "model.safetensors").write_bytes(bytes(range(200)))
    return tmp_path


def test_all_files_are_uploaded_with_the_token_of_the_environment(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "good")
    assert upload(folder, "me/model") == f"{hub.address}/me/model"
    assert hub.files == {file.name: file.read_bytes() for file in folder.iterdir()}
    assert (hub.tokens, hub.created) == ({"good"}, ["me/model"])


def test_a_refusal_is_a_sentence_and_the_folder_stays(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "bad")
    with pytest.raises(UserError, match=r"is complete, but can't be uploaded to me/model .*run `hf upload"):
        upload(folder, "me/model")
    monkeypatch.setenv("HF_TOKEN", "good")
    with pytest.raises(UserError, match="can't be uploaded to not/a/name"):
        upload(folder, "not/a/name")
    assert not hub.files
    assert len(list(folder.iterdir())) == 2
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="set the environment variable HF_TOKEN"):
        write_token()
