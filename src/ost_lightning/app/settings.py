"""What an app is started with: weights, folders, and who may reach it."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ost_lightning.errors import UserError

if TYPE_CHECKING:
    from ost_lightning.models import CPUPrecision

AUTH_VARIABLE: Final = "OST_APP_AUTH"
"""Environment variable with `USER:PASSWORD`."""
SPACE_VARIABLE: Final = "SPACE_ID"
"""Environment variable that Hugging Face sets inside a Space."""
LOCAL: Final = "127.0.0.1"
_SHORTEST_PASSWORD: Final = 8
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(kb|mb|gb)", re.IGNORECASE)
_UNITS: Final = {"kb": 1000, "mb": 1000**2, "gb": 1000**3}


@dataclass(frozen=True, slots=True)
class AppSettings:
    """Settings of an app.

    Attributes:
        weights: Weights to choose from, the first one by default; each as for `Recognizer.load`.
        labels: Name or folder of the label space that is there at the start; None for none.
        library: Folder of the library that can be asked; None for none.
        videos: Folders whose videos may be played when the library finds them.
        host: Address to listen on.
        port: Port to listen on; None for a free one from 7860.
        max_upload: Largest size of an uploaded video in bytes.
        auth: User and password; None for no login.
        llm: Name of the LLM that describes classes.
        device: Device for computation; None for a GPU if available, otherwise the CPU.
        cpu_precision: Precision in which a CPU embeds frames; `auto` measures whether bf16 is faster.
        examples: Whether to offer rendered videos, and a library of them if there is no other.

    Raises:
        UserError: If others could reach the app without a password, or a setting makes no sense.
    """

    weights: tuple[str, ...] = ("openai/clip-vit-base-patch16",)
    labels: str | None = None
    library: Path | None = None
    videos: tuple[Path, ...] = ()
    host: str = LOCAL
    port: int | None = None
    max_upload: int = 500 * 1000**2
    auth: tuple[str, str] | None = None
    llm: str = "gpt-4o-mini"
    device: str | None = None
    cpu_precision: "CPUPrecision" = "fp32"
    examples: bool = False

    def __post_init__(self) -> None:
        if not self.weights or len(set(self.weights)) != len(self.weights):
            raise UserError(f"The weights are {', '.join(self.weights) or 'missing'}: expected different ones.")
        if self.max_upload <= 0:
            raise UserError(f"The largest upload is {self.max_upload} bytes: expected a size such as 500MB.")
        if self.port is not None and not 0 < self.port < 65536:
            raise UserError(f"The port is {self.port}: expected a number from 1 to 65535.")
        for folder in self.videos:
            if not folder.is_dir():
                raise UserError(f"There is no folder {folder} whose videos could be played.")
        if self.auth is None and not is_local(self.host) and not in_space():
            raise UserError(
                f"With --host {self.host}, others can reach the app: set a login of the form USER:PASSWORD in the "
                f"environment variable {AUTH_VARIABLE}, or name a file with that line (--auth FILE)."
            )


def is_local(host: str) -> bool:
    """Returns whether only this machine can reach an address.

    Args:
        host: IP address, or `localhost`.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_space() -> bool:
    """Returns whether this is a Hugging Face Space, whose owner says there who may see it."""
    return bool(os.environ.get(SPACE_VARIABLE))


def read_auth(file: str | None, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Reads user and password from a file or the environment; they are never options, which other users can list.

    Args:
        file: File with one line `USER:PASSWORD`; None for the environment variable `OST_APP_AUTH`.
        environment: Environment variables.

    Returns:
        User and password; None if neither is set.

    Raises:
        UserError: If the file can't be read, or there is no user or password of enough characters in it.
    """
    if file is None:
        text, place = environment.get(AUTH_VARIABLE), f"The environment variable {AUTH_VARIABLE}"
        if not text:
            return None
    else:
        path, place = Path(file), f"The file {file}"
        if not path.is_file():
            # what was given may be the password itself
            raise UserError(
                "--auth names a file that is not there. It takes a file with one line USER:PASSWORD, not the password, "
                f"which others could see in the list of processes; or set {AUTH_VARIABLE}."
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{place} can't be read as text: expected one line USER:PASSWORD.") from error
    user, colon, password = text.strip().partition(":")
    if not user or not colon or len(password) < _SHORTEST_PASSWORD or "\n" in password:
        raise UserError(
            f"{place} has no login: expected one line USER:PASSWORD, with a password of at least {_SHORTEST_PASSWORD} "
            "characters."
        )
    return user, password


def read_size(text: str) -> int:
    """Returns a size in bytes.

    Args:
        text: Number with a unit, such as `500MB` or `1.5 GB`.

    Raises:
        UserError: If it is no size.

    Examples:
        >>> read_size("1.5 GB")
        1500000000
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UserError(f"--max_upload is {text!r}: expected a number with a unit, such as 500MB or 2GB.")
    return int(float(found[1]) * _UNITS[found[2].lower()])
