"""With a login, nothing is given to those who don't have it."""

import os
from pathlib import Path

import httpx

from ost_lightning.app import AppSettings
from tests.app.conftest import Serving

LOGIN = ("me", "pass:word 1")


def test_routes_are_closed_without_the_login_and_uploads_end_with_the_app(serving: Serving) -> None:
    with serving(AppSettings(weights=("tiny",), auth=LOGIN, device="cpu")) as url:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        video = {"files": ("x.mp4", b"video")}
        wrong = httpx.post(f"{url}login", data={"username": "me", "password": "wrong"})
        assert wrong.status_code == 400
        assert httpx.get(f"{url}config").status_code == 401
        assert httpx.post(f"{url}gradio_api/upload", files=video).status_code == 401
        with httpx.Client(base_url=url) as client:
            assert client.post("login", data={"username": LOGIN[0], "password": LOGIN[1]}).status_code == 200
            page = client.get("config")
            (path,) = client.post("gradio_api/upload", files=video).json()
            assert client.get(f"gradio_api/file={path}").content == b"video"
        assert httpx.get(f"{url}gradio_api/file={path}").status_code == 401
        assert LOGIN[1] not in page.text
        assert Path(path).is_relative_to(folder)
    assert not folder.exists()
    assert os.environ.get("GRADIO_TEMP_DIR") != str(folder)
