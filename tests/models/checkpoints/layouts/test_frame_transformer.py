from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import CLIPModel

from ost_lightning.errors import CheckpointError
from ost_lightning.models import TemporalTransformer, VideoCLIP
from ost_lightning.models.checkpoints.conversion import import_checkpoint
from ost_lightning.models.checkpoints.foreign_layouts import from_hugging_face, to_hugging_face
from ost_lightning.models.safe_checkpoints import read_weights
from tests.models.foreign import RELEASED, tokenizer

WIDTH = 48
NAMES = {
    "attn.in_proj_weight": "self_attn.in_proj_weight",
    "attn.in_proj_bias": "self_attn.in_proj_bias",
    "attn.out_proj.weight": "self_attn.out_proj.weight",
    "attn.out_proj.bias": "self_attn.out_proj.bias",
    "ln_1.weight": "norm1.weight",
    "ln_1.bias": "norm1.bias",
    "ln_2.weight": "norm2.weight",
    "ln_2.bias": "norm2.bias",
    "mlp.c_fc.weight": "linear1.weight",
    "mlp.c_fc.bias": "linear1.bias",
    "mlp.c_proj.weight": "linear2.weight",
    "mlp.c_proj.bias": "linear2.bias",
}
HEAD = partial(TemporalTransformer, layers=2, heads=1, positions=77)


@pytest.fixture(scope="module")
def clip() -> dict[str, Tensor]:
    """A CLIP under OpenAI's names."""
    config, tensors, _ = to_hugging_face(read_weights(RELEASED))
    return from_hugging_face(config, tensors, "openai")


@pytest.fixture(scope="module")
def original(clip: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another CLIP of this size, which both towers were tuned from."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer().save_pretrained(folder)
    CLIPModel(to_hugging_face(clip)[0]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def head() -> TemporalTransformer:
    head = HEAD(WIDTH)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return head


def released(head: TemporalTransformer) -> dict[str, Tensor]:
    """The head under the authors' names."""
    state = head.state_dict()
    blocks = {
        f"transformer.resblocks.{layer}.{theirs}": state[f"blocks.{layer}.{ours}"]
        for layer in range(2)
        for theirs, ours in NAMES.items()
    }
    assert len(blocks) + 1 == len(state)
    return {"frame_position_embeddings.weight": state["positions.weight"], **blocks}


@torch.no_grad()
def same_head(folder: Path, head: TemporalTransformer) -> VideoCLIP:
    """Loads a converted folder, and compares its head's output."""
    model = VideoCLIP(str(folder), temporal_head=HEAD)
    frames = torch.randn(2, 5, WIDTH)
    assert model.temporal_head is not None
    assert_close(model.temporal_head(frames), head(frames))
    return model


def test_the_head_in_a_dictionary_of_its_own(
    clip: dict[str, Tensor], head: TemporalTransformer, original: Path, tmp_path: Path
) -> None:
    """ActionCLIP's checkpoints: names of its head are also names of CLIP's text tower."""
    beside = {f"module.{name}": tensor for name, tensor in released(head).items()}
    file = tmp_path / "released.pt"
    torch.save({"epoch": 9, "model_state_dict": clip, "fusion_model_state_dict": beside}, file)
    found = import_checkpoint(file, tmp_path / "out", str(original))
    assert (found.layout, found.overlay) == ("frame_transformer", "action_clip")
    assert found.settings == {"temporal_head.layers": 2, "temporal_head.positions": 77}
    weights = same_head(tmp_path / "out", head).encoder.model.state_dict()
    for name, expected in to_hugging_face(clip)[1].items():
        assert torch.equal(weights[name], expected)


def test_a_text_tower_that_is_left_out_is_that_of_the_original(
    clip: dict[str, Tensor], head: TemporalTransformer, original: Path, tmp_path: Path
) -> None:
    """Text4Vis's checkpoints: its text tower is frozen."""
    tuned = {name: tensor for name, tensor in clip.items() if name.startswith("visual.") or name == "logit_scale"}
    tuned |= {f"fusion_model.{name}": tensor for name, tensor in released(head).items()}
    torch.save({"model_state_dict": {f"module.{k}": v for k, v in tuned.items()}}, tmp_path / "released.pt")
    found = import_checkpoint(tmp_path / "released.pt", tmp_path / "out", str(original))
    assert (found.overlay, len(found.report.completed)) == ("text4vis", 29)
    assert "29 completed (" in (tmp_path / "out" / "ORIGIN.txt").read_text()
    weights = same_head(tmp_path / "out", head).encoder.model.state_dict()
    tower = CLIPModel.from_pretrained(original).state_dict()
    for name, expected in to_hugging_face(clip)[1].items():
        assert torch.equal(weights[name], tower[name] if name.startswith("text_") else expected), name
    with pytest.raises(CheckpointError, match=r"omits its text tower, and there is no CLIP 'nobody/nothing'"):
        import_checkpoint(tmp_path / "released.pt", tmp_path / "again", "nobody/nothing")


def test_other_heads_are_refused_by_name(clip: dict[str, Tensor], original: Path, tmp_path: Path) -> None:
    """ActionCLIP has others: a convolution, an LSTM."""
    torch.save(
        {"model_state_dict": clip, "fusion_model_state_dict": {"shift.weight": torch.ones(3)}}, tmp_path / "a.pt"
    )
    message = (
        r"13 missing \(fusion_model\.frame_position_embeddings\.weight, .*1 unexpected \(fusion_model\.shift\.weight"
    )
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint(tmp_path / "a.pt", tmp_path / "out", str(original))
