from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError
from ost_lightning.models.checkpoints.layouts import LAYOUTS, layout_with_parts
from tests.models.released import Released, converted

FILES = {"a5": "prompts/a5", "vita_clip": "prompts/vita_clip"}


def state(layout: str) -> dict[str, Tensor]:
    return Released.load(FILES[layout]).part("state/")


def refused(tensors: Mapping[str, Tensor], folder: Path, message: str, **options: object) -> None:
    with pytest.raises(CheckpointError, match=message):
        converted(tensors, folder, **options)  # type: ignore[arg-type]
    assert not (folder / "converted").exists()


@pytest.mark.parametrize(
    ("layout", "name", "missing"),
    [
        ("a5", "temporalEmbedding.weight", r"temporalEmbedding\.weight"),
        ("a5", "temporalModelling.resblocks.0.mlp.c_fc.bias", r"temporalModelling\.resblocks\.0\.mlp\.c_fc\.bias"),
        ("a5", "clipmodel.visual.proj", r"visual\.proj"),
        ("vita_clip", "visual.blocks.0.summary_ln.bias", r"visual\.blocks\.0\.summary_ln\.bias"),
        ("vita_clip", "visual.blocks.1.local_prompts", r"visual\.blocks\.1\.local_prompts"),
        ("vita_clip", "textual.ln_final.bias", r"ln_final\.bias"),
    ],
)
def test_what_is_missing_is_named(layout: str, name: str, missing: str, tmp_path: Path) -> None:
    tensors = state(layout)
    del tensors[name]
    classes = ("a", "b", "c") if layout == "vita_clip" else None
    refused(tensors, tmp_path, rf"1 missing \({missing}\), 0 unexpected", classes=classes)


def test_what_is_unknown_is_named(tmp_path: Path) -> None:
    refused(state("a5") | {"classifier.weight": torch.ones(2)}, tmp_path, r"1 unexpected \(classifier\.weight\)")
    names = {"classes": ("a", "b", "c")}
    refused(
        state("vita_clip") | {"visual.adapter": torch.ones(2)}, tmp_path, r"1 unexpected \(visual\.adapter\)", **names
    )


def test_an_incomplete_attention_is_named(tmp_path: Path) -> None:
    tensors = state("vita_clip")
    del tensors["visual.blocks.1.attn.k_proj.weight"]
    refused(tensors, tmp_path, r"lacks visual\.blocks\.1\.attn\.k_proj\.weight", classes=("a", "b", "c"))


def test_a_bias_that_clip_does_not_have_is_refused_unless_it_is_zero(tmp_path: Path) -> None:
    tensors = state("vita_clip")
    assert not tensors["visual.patch_embed.proj.bias"].any()
    tensors["visual.patch_embed.proj.bias"] = torch.full((64,), 0.1)
    refused(tensors, tmp_path, r"patch_embed\.proj\.bias is not zero", classes=("a", "b", "c"))


@pytest.mark.parametrize(
    ("layout", "classes", "message"),
    [
        (
            "vita_clip",
            None,
            r"contexts of 3 classes, but not their names: name the label space of the training",
        ),
        ("vita_clip", ("a", "b"), r"contexts of 3 classes, but --labels has 2"),
        ("a5", ("a", "b"), r"has no contexts of single classes: leave out --labels"),
    ],
)
def test_classes_belong_to_contexts(layout: str, classes: tuple[str, ...] | None, message: str, tmp_path: Path) -> None:
    refused(state(layout), tmp_path, message, classes=classes)


def test_contexts_that_all_classes_share_need_no_names(tmp_path: Path) -> None:
    tensors = state("vita_clip")
    tensors["prompt_learner.ctx"] = tensors["prompt_learner.ctx"][0]
    tensors["prompt_learner.token_prefix"] = torch.ones(3, 1, 32)
    found = converted(tensors, tmp_path)
    assert found.settings["text_prompts.class_specific"] is False
    assert found.report.ignored == ("prompt_learner.token_prefix",)


def test_a_model_without_temporal_part_is_one(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in state("a5").items() if not name.startswith("temporal")}
    assert converted(tensors, tmp_path).settings == {"temporal_head": "MeanPooling"}
    assert not (tmp_path / "converted" / "temporal_head.safetensors").exists()


def test_stacked_prompts_of_another_number_of_layers_are_refused(tmp_path: Path) -> None:
    tensors = state("vita_clip")
    tensors["visual.global_prompts"] = tensors["visual.global_prompts"][:1]
    message = r"visual\.global_prompts has the shape \(1, 5, 64\), from which 2 tensors were expected"
    refused(tensors, tmp_path, message, classes=("a", "b", "c"))


def test_every_layout_is_recognized_by_its_own_names() -> None:
    names = {
        "a5": ["module.embedding.weight", "module.clipmodel.logit_scale"],
        "vita_clip": ["visual.time_embed", "visual.blocks.0.norm1.weight"],
        "dist": ["backbone.base_encoder.dist_net.proj"],
        "x_clip": ["visual.proj", "mit.positional_embedding"],
        "frame_transformer": ["visual.proj", "fusion_model.frame_position_embeddings.weight"],
    }
    found = {name: layout_with_parts(tensors) for name, tensors in names.items()}
    assert {name: layout.name for name, layout in found.items() if layout is not None} == {name: name for name in names}
    assert len(LAYOUTS) == len(names)
    assert layout_with_parts(["visual.conv1.weight", "visual.class_embedding", "positional_embedding"]) is None
