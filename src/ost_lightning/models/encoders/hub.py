"""The Hugging Face hub: whether a model is in the local cache, and whether the hub can be reached."""

import json
import os
import ssl
import threading
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from huggingface_hub import constants, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from ost_lightning.errors import CheckpointError
from ost_lightning.resources import TINY_CLIP, tiny_clip_folder

PATIENCE: Final = "HF_HUB_ETAG_TIMEOUT"
"""Environment variable of huggingface_hub: time limit for the first answer of the hub, in seconds."""
_PATIENCE: Final = 4.0
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS: Final = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
)
_reached: set[str] = set()


def local_files_only(pretrained: str) -> bool:
    """Returns whether a model is loaded without asking the hub; transformers has an argument of this name.

    A model that is completely in the local cache is never looked up on the hub. For any other model one request finds
    out whether the hub can be reached, because the retries of the hub's client take a minute.

    Args:
        pretrained: Hub id, folder or `tiny`.

    Raises:
        CheckpointError: If the model has to be downloaded, but the hub can't be reached.
    """
    if pretrained == TINY_CLIP or Path(pretrained).is_dir() or is_offline_mode():
        return True
    try:
        if _is_cached(pretrained):
            return True
    except HFValidationError:  # not a hub id, so there is nothing to download
        return True
    if (reason := _unreachable(constants.ENDPOINT)) is None:
        return False
    if _has(pretrained, "config.json"):  # whatever is missing may be optional
        return True
    raise CheckpointError(
        f"There is no pre-trained model '{pretrained}' on this machine: it is neither a folder nor in the cache "
        f"{constants.HF_HUB_CACHE}, and {reason}. Check the path and the network connection, or use `{TINY_CLIP}`, "
        "which comes with the package."
    )


def weights_bytes(pretrained: str) -> int:
    """Returns the size of a model's weights on this machine, in bytes; 0 if they are yet to be downloaded.

    Args:
        pretrained: Hub id, folder or `tiny`.
    """
    folder = tiny_clip_folder() if pretrained == TINY_CLIP else Path(pretrained)
    if not folder.is_dir():
        try:
            config = try_to_load_from_cache(pretrained, "config.json")
        except HFValidationError:
            return 0
        if not isinstance(config, str):
            return 0
        folder = Path(config).parent
    sizes = (sum(file.stat().st_size for file in folder.glob(f"*{Path(name).suffix}")) for name in _WEIGHTS)
    return next((size for size in sizes if size), 0)  # a folder may hold the same weights in both formats


def _is_cached(repository: str) -> bool:
    """Returns whether the cache has everything that loading a model reads."""
    optional = ("preprocessor_config.json", "tokenizer_config.json")
    return (
        _has(repository, "config.json")
        and any(_has_weights(repository, name) for name in _WEIGHTS)
        and any(all(_has(repository, name) for name in names) for names in _TOKENIZERS)
        # either a file, or a note that the hub has none; None if nobody has looked yet
        and all(try_to_load_from_cache(repository, name) is not None for name in optional)
    )


def _has_weights(repository: str, name: str) -> bool:
    if _has(repository, name):
        return True
    index = try_to_load_from_cache(repository, f"{name}.index.json")
    if not isinstance(index, str):
        return False
    parts = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()
    return all(_has(repository, part) for part in set(parts))


def _has(repository: str, name: str) -> bool:
    return isinstance(try_to_load_from_cache(repository, name), str)


def _unreachable(endpoint: str) -> str | None:
    """Returns why a server can't be reached, or None if it can: once connected, it may be as slow as it likes."""
    proxies = urllib.request.getproxies()
    if endpoint in _reached or any(address.startswith("socks") for address in proxies.values()):
        return None  # urllib knows no SOCKS, so the hub's client has to try
    probe = _Probe(endpoint, float(os.environ.get(PATIENCE) or _PATIENCE))
    if (reason := probe.run()) is None:
        _reached.add(endpoint)
    return reason


class _Probe:
    """One request, in a thread of its own, because no time limit applies to looking up the host's address."""

    def __init__(self, endpoint: str, seconds: float) -> None:
        self._endpoint, self._host, self._seconds = endpoint, urlsplit(endpoint).netloc, seconds
        self._connected, self._over = threading.Event(), threading.Event()
        self._failure: str | None = None

    def run(self) -> str | None:
        """Returns why there is no connection within the time limit; None if there is one."""
        threading.Thread(target=self._request, daemon=True).start()
        in_time = self._over.wait(self._seconds)
        if self._connected.is_set():
            return None
        return self._failure if in_time else self._silence()

    def _request(self) -> None:
        connected = self._connected

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                connected.set()

        class Encrypted(HTTPSConnection):
            def connect(self) -> None:  # through the proxy, if there is one
                super().connect()
                connected.set()

        class Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
            def http_open(self, request: urllib.request.Request) -> HTTPResponse:
                return self.do_open(Plain, request)

            def https_open(self, request: urllib.request.Request) -> HTTPResponse:
                return self.do_open(Encrypted, request)

        request = urllib.request.Request(self._endpoint, method="HEAD")  # noqa: S310 # the hub's own URL
        try:
            urllib.request.build_opener(Handler).open(request, timeout=self._seconds).close()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLError):
                connected.set()  # the hub's client may trust other certificates
            late = isinstance(error.reason, TimeoutError)
            self._failure = self._silence() if late else f"{self._host} can't be reached ({error.reason})"
        except (OSError, HTTPException) as error:
            self._failure = f"{self._host} can't be reached ({error})"
        finally:
            self._over.set()

    def _silence(self) -> str:
        return (
            f"{self._host} doesn't answer within {self._seconds:g} s (for a slow connection, set the environment "
            f"variable {PATIENCE} to more)"
        )
