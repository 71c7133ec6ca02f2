"""The Hugging Face hub: whether a model is in the local cache, and whether the hub can be reached."""

import json
import os
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from huggingface_hub import constants, hf_hub_download, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, RemoteEntryNotFoundError

from ost_lightning.errors import CheckpointError
from ost_lightning.resources import TINY_CLIP, TINY_MODELS, tiny_model_folder

PATIENCE: Final = "HF_HUB_ETAG_TIMEOUT"
"""Environment variable of huggingface_hub: time limit for the first answer of the hub, in seconds."""
_PATIENCE: Final = 4.0
OPEN_CLIP: Final = "open_clip:"
"""Prefix of models that the library open_clip loads."""
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
        pretrained: Hub id, folder, or name of a tiny model.

    Raises:
        CheckpointError: If the model has to be downloaded, but the hub can't be reached.
    """
    if pretrained in TINY_MODELS or Path(pretrained).is_dir() or is_offline_mode():
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
    raise _not_on_this_machine(pretrained, reason)


def hub_file(repository: str, *names: str) -> Path:
    """Returns the first of several files that a repository has: from the local cache, or else downloaded.

    Args:
        repository: Hub id.
        names: Names of the file in order of preference.

    Raises:
        CheckpointError: If the repository has no such file, doesn't exist or can't be reached.
    """
    expected = " or ".join(names)
    try:
        for name in names:
            if isinstance(cached := try_to_load_from_cache(repository, name), str):
                return Path(cached)
        reason = "HF_HUB_OFFLINE is set" if is_offline_mode() else _unreachable(constants.ENDPOINT)
        if reason is not None:
            raise _not_on_this_machine(repository, reason)
        for name in names:
            with suppress(RemoteEntryNotFoundError):
                return Path(hf_hub_download(repository, name))
    except (OSError, HFValidationError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{expected} of '{repository}' can't be downloaded from the Hugging Face hub ({reason}). Check the id and "
            "the network connection."
        ) from error
    raise CheckpointError(f"The repository '{repository}' on the Hugging Face hub has no {expected}.")


def tokenizer_is_local(repository: str) -> bool:
    """Returns whether a tokenizer is loaded without asking the hub; see `local_files_only`.

    Args:
        repository: Hub id or folder.

    Raises:
        CheckpointError: If the tokenizer has to be downloaded, but the hub can't be reached.
    """
    if Path(repository).is_dir() or is_offline_mode():
        return True
    if any(all(_has(repository, name) for name in names) for names in _TOKENIZERS):
        return True
    if (reason := _unreachable(constants.ENDPOINT)) is not None:
        raise _not_on_this_machine(repository, reason)
    return False


def folder_of(pretrained: str) -> Path:
    """Returns the path of a model's folder, which doesn't exist if the model is on the hub."""
    if pretrained in TINY_MODELS:
        return tiny_model_folder(pretrained)
    return Path(pretrained.removeprefix(OPEN_CLIP).removeprefix("local-dir:"))


def local_file_of(pretrained: str, name: str) -> Path | None:
    """Returns a file of a model that is on this machine, in a folder or in the hub's cache; None if it isn't.

    Args:
        pretrained: Hub id, folder, or name of a tiny model.
        name: Name of the file.
    """
    folder = folder_of(pretrained)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        cached = try_to_load_from_cache(pretrained, name)
    except HFValidationError:
        return None
    return Path(cached) if isinstance(cached, str) else None


def weights_bytes(pretrained: str) -> int:
    """Returns the size of a model's weights on this machine, in bytes; 0 if they are yet to be downloaded.

    Args:
        pretrained: Hub id, folder, or name of a tiny model.
    """
    folder = folder_of(pretrained)
    if not folder.is_dir():
        if (config := local_file_of(pretrained, "config.json")) is None:
            return 0
        folder = config.parent
    sizes = (sum(file.stat().st_size for file in folder.glob(f"*{Path(name).suffix}")) for name in _WEIGHTS)
    return next((size for size in sizes if size), 0)  # a folder may hold the same weights in both formats


def _not_on_this_machine(pretrained: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"There is no pre-trained model '{pretrained}' on this machine: it is neither a folder nor in the cache "
        f"{constants.HF_HUB_CACHE}, and {reason}. Check the path and the network connection, or use `{TINY_CLIP}`, "
        "which comes with the package."
    )


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
