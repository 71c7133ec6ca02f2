"""Names of models of open_clip. No weights are read here."""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest

from ost_lightning.errors import CheckpointError
from ost_lightning.models import VideoCLIP
from ost_lightning.models.encoders import encoder_class
from ost_lightning.models.encoders.open_clip.source import CONFIG_FILE, WEIGHTS_FILE, find_source
from ost_lightning.models.encoders.pretrained.hub import weights_bytes
from ost_lightning.models.token_count import token_count
from ost_lightning.tools.weights.convert import convert
from tests.models.encoders.open_clip_miniatures import write_open_clip
from tests.models.encoders.pretrained.test_hub import cache, closed_port

__all__ = ["cache", "closed_port"]

Cached = Callable[[str, dict[str, str | Path]], Path]


@pytest.fixture
def cached(cache: Path) -> Cached:
    """Puts files of a repository into the empty cache; returns their folder."""

    def put(repository: str, files: dict[str, str | Path]) -> Path:
        folder = cache / f"models--{repository.replace('/', '--')}"
        snapshot = folder / "snapshots" / "abc"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc")
        snapshot.mkdir(parents=True)
        for name, content in files.items():
            (snapshot / name).write_bytes(content.encode() if isinstance(content, str) else content.read_bytes())
        return snapshot

    return put


@pytest.mark.usefixtures("closed_port")
def test_weights_known_by_name_are_found_in_the_cache(cached: Cached) -> None:
    folder = cached("timm/vit_base_patch32_clip_224.openai", {WEIGHTS_FILE: "weights"})
    source = find_source("open_clip:ViT-B-32-quickgelu/openai")
    assert source.weights() == folder / WEIGHTS_FILE
    assert find_source("open_clip:ViT-B/32-quickgelu/openai").model == source.model
    folder = cached("jienengchen/ViTamin-S", {"pytorch_model.bin": "weights"})
    assert find_source("open_clip:ViTamin-S/datacomp1b").weights() == folder / "pytorch_model.bin"


@pytest.mark.usefixtures("closed_port")
def test_a_repository_in_the_cache_needs_no_connection(cached: Cached, tmp_path: Path) -> None:
    model = write_open_clip(tmp_path / "model", "pe_core")
    cached("timm/PE-Core", {name: model / name for name in (CONFIG_FILE, WEIGHTS_FILE)})
    assert VideoCLIP("open_clip:hf-hub:timm/PE-Core").encoder.tokenizer.max_tokens == 32
    assert token_count("open_clip:hf-hub:timm/PE-Core").limit == 32


@pytest.mark.usefixtures("closed_port")
@pytest.mark.parametrize(
    ("load", "name", "repository"),
    [
        (VideoCLIP, "hf-hub:timm/nothing", "timm/nothing"),
        (lambda name: find_source(name).weights(), "PE-Core-B-16/meta", "timm/PE-Core-B-16"),
        (token_count, "ViT-B-16-SigLIP/webli", "timm/ViT-B-16-SigLIP"),
    ],
)
def test_whoever_is_offline_hears_of_it_at_once(load: Callable[[str], object], name: str, repository: str) -> None:
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=rf"'{repository}' on this machine: .*127\.0\.0\.1:\d+ can't be reached"):
        load(f"open_clip:{name}")
    assert time.monotonic() - began < 30  # the retries of the client of the hub take a minute


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PE-Core-B-61/meta", r"is no model 'PE-Core-B-61/meta' in open_clip [\d.]+, but PE-Core-B-16, .*Expected"),
        ("no/such/folder", r"is no model 'no/such/folder' in open_clip [\d.]+\. Expected open_clip:MODEL/WEIGHTS"),
        ("ViT-B-32/laion2b", r"has no weights 'laion2b' for ViT-B-32, .* It has laion2b_e16"),
        ("ViT-B-32", r"has no weights '' for ViT-B-32, and there is no such file\. It has openai, "),
        ("ViT-M-16/openai", "It has none for this model: name a file"),
        ("ViT-B-32/openai", r"trained with QuickGELU, but ViT-B-32 has GELU\. Use open_clip:ViT-B-32-quickgelu/openai"),
        ("ViT-L-14/dfn2b", r"trained with QuickGELU, but ViT-L-14 has GELU\. Use open_clip:ViT-L-14-quickgelu/dfn2b"),
        ("ViT-B-32-quickgelu/laion2b_e16", "has no weights 'laion2b_e16' for ViT-B-32-quickgelu"),
        ("coca_ViT-B-32/laion2b_s13b_b90k", "not supported: it has CoCa, whose text embedding depends on a mask"),
        ("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", r"a text tower of transformers \(xlm-roberta-base\)"),
    ],
)  # fmt: skip
def test_unknown_and_unsupported_models_are_named(name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        find_source(f"open_clip:{name}")


@pytest.mark.parametrize("absolute", [False, True])
def test_a_file_has_the_pixels_of_the_models_own_weights(
    absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").touch()
    file = tmp_path / "weights.pt" if absolute else Path("weights.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = find_source(f"open_clip:PE-Core-T-16-384/{file}")
    assert source.weights() == file
    assert source.pixels == {
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }


def test_a_file_with_unknown_pixels_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.pt").touch()
    with pytest.warns(UserWarning, match=r"doesn't say how pixels are normalized.* set video_clip\.pixel_statistics"):
        found = find_source(f"open_clip:ViT-M-16/{tmp_path / 'weights.pt'}")
    assert found.pixels["mean"] == (0.48145466, 0.4578275, 0.40821073)


def test_every_listed_model_is_found_or_refused() -> None:
    refused: dict[str, str] = {}
    for model, weights in open_clip.list_pretrained():
        name = f"open_clip:{model}/{weights}"
        try:
            found = encoder_class(name).load_preprocessing(name)
        except CheckpointError as error:
            refused[name] = str(error)
            continue
        tag = open_clip.get_pretrained_cfg(model, weights)
        assert (found.mean, found.std) == (tuple(tag["mean"]), tuple(tag["std"])), name
    reasons = ("CoCa", "a text tower of transformers", "GELU. Use open_clip:")
    assert not {name for name, error in refused.items() if not any(reason in error for reason in reasons)}
    supported = ("PE-", "MobileCLIP", "EVA", "ViTamin", "convnext", "ViT-B-16-SigLIP")
    assert not {name for name in refused if name.removeprefix("open_clip:").startswith(supported)}


def test_the_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    (tmp_path / CONFIG_FILE).write_text("{}")
    for name in ("open_clip:PE-Core-B-16/meta", str(tmp_path)):
        with pytest.raises(CheckpointError, match=r"`pip install 'ost-lightning\[open_clip\]'`"):
            VideoCLIP(name)


def test_weights_elsewhere_are_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    tag = {"url": "https://host/weights.pt", "quick_gelu": False}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: tag)
    with pytest.raises(CheckpointError, match=r"Download https://host/weights\.pt, and name the file"):
        find_source("open_clip:ViT-B-32/mine").weights()


def test_only_the_layouts_of_openai_are_converted(tmp_path: Path) -> None:
    write_open_clip(tmp_path, "laion")
    with pytest.raises(CheckpointError, match="is a model of open_clip, which is not converted"):
        convert(tmp_path, tmp_path / "weights.pth")


def test_the_weights_of_a_folder_are_measured(tmp_path: Path) -> None:
    write_open_clip(tmp_path, "eva02")
    size = (tmp_path / WEIGHTS_FILE).stat().st_size
    assert weights_bytes(str(tmp_path)) == weights_bytes(f"open_clip:{tmp_path}") == size > 0
    assert weights_bytes("open_clip:ViT-B-32/laion2b_e16") == weights_bytes("open_clip:hf-hub:timm/PE-Core-B-16") == 0
