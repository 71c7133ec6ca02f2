"""Who may reach the app, and with what it starts."""

from pathlib import Path

import pytest

from ost_lightning.app import AppSettings, read_auth, read_size
from ost_lightning.app.settings import is_local
from ost_lightning.errors import UserError


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.1.5", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_others_need_a_login(host: str, local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert is_local(host) == local
    assert AppSettings(host=host, auth=("me", "12345678")).host == host
    if local:
        assert AppSettings(host=host).auth is None
    else:
        with pytest.raises(UserError, match=r"others can reach the app: set a login .* OST_APP_AUTH"):
            AppSettings(host=host)


def test_a_space_says_itself_who_may_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "me/demo")
    assert AppSettings(host="0.0.0.0").auth is None  # noqa: S104


def test_a_login_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("me:pass:word\n")
    assert read_auth(str(file), {"OST_APP_AUTH": "other:12345678"}) == ("me", "pass:word")
    assert read_auth(None, {"OST_APP_AUTH": "other:12345678"}) == ("other", "12345678")
    assert read_auth(None, {}) is None
    assert read_auth(None, {"OST_APP_AUTH": ""}) is None


@pytest.mark.parametrize("text", ["me", "me:", ":12345678", "me:1234567", "me:12345678\nyou:12345678", ""])
def test_what_is_no_login_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "login"
    file.write_text(text)
    with pytest.raises(UserError, match=r"expected one line USER:PASSWORD") as raised:
        read_auth(str(file), {})
    assert "1234567" not in str(raised.value)


def test_a_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match=r"takes a file .* not the password") as raised:
        read_auth("me:topsecret", {})
    assert "topsecret" not in str(raised.value)


@pytest.mark.parametrize(("text", "size"), [("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("20 kB", 20_000)])
def test_sizes(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["500", "MB", "-1MB", "1TB", "", "1 000 MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"expected a number with a unit, such as 500MB"):
        read_size(text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weights": ()}, "expected different ones"),
        ({"weights": ("tiny", "tiny")}, "expected different ones"),
        ({"max_upload": 0}, "expected a size such as 500MB"),
        ({"port": 70_000}, "expected a number from 1 to 65535"),
        ({"videos": (Path("/nowhere/at/all"),)}, "no folder /nowhere/at/all"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AppSettings(**wrong)  # type: ignore[arg-type]
