import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter

from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import OptimizerSettings
from ost_lightning.tasks.optimizer import layer_factors, optimizer_and_schedule

VISION = "video_clip.clip.vision_model"


def test_layers_below_learn_more_slowly() -> None:
    names = [f"{VISION}.embeddings.patch_embedding.weight", f"{VISION}.pre_layrnorm.weight"]
    names += [f"{VISION}.encoder.layers.{k}.mlp.fc1.weight" for k in range(3)]
    names += [f"{VISION}.post_layernorm.weight", "video_clip.clip.logit_scale", "matcher.epsilon"]
    factors = layer_factors(names, 0.5)
    assert list(factors.values()) == [0.5**4, 0.5**4, 0.5**3, 0.5**2, 0.5, 1, 1, 1]


@given(decay=st.floats(0.1, 1))
def test_no_layer_learns_faster_than_the_one_above(decay: float) -> None:
    names = [f"x.text_model.encoder.layers.{k}.mlp.fc1.weight" for k in range(12)]
    factors = list(layer_factors(names, decay).values())
    assert factors == sorted(factors)
    assert factors[-1] == pytest.approx(decay)


def test_every_trained_weight_is_in_one_group_with_its_rate() -> None:
    model = torch.nn.ModuleDict({"video_clip": VideoCLIP("tiny", freeze_text=True), "head": torch.nn.Linear(2, 2)})
    settings = OptimizerSettings(learning_rate=1.0, layer_decay=0.5, new_module_lr_multiplier=10.0, weight_decay=0.3)
    optimizer = optimizer_and_schedule(model.named_parameters(), settings, 10)["optimizer"]
    grouped = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(grouped) == len(trained) == sum(len(group["params"]) for group in optimizer.param_groups)
    rates = {name: grouped[id(parameter)]["initial_lr"] for name, parameter in trained.items()}
    assert rates["head.weight"] == 10
    assert rates["video_clip.clip.logit_scale"] == 1
    assert rates["video_clip.clip.visual_projection.weight"] == 1
    assert rates[f"{VISION}.encoder.layers.2.mlp.fc1.weight"] == 0.5
    assert rates[f"{VISION}.encoder.layers.0.mlp.fc1.weight"] == 0.125
    assert grouped[id(trained["head.bias"])]["weight_decay"] == 0
    assert grouped[id(trained["head.weight"])]["weight_decay"] == 0.3


def test_fused_updates_are_the_same() -> None:
    ends = []
    for fused in (False, True):
        torch.manual_seed(0)
        weight = Parameter(torch.randn(5, 5))
        settings = OptimizerSettings(learning_rate=0.1, fused=fused, warmup_fraction=0.0)
        optimizer = optimizer_and_schedule([("w", weight)], settings, 3)["optimizer"]
        for _ in range(3):
            (weight**2).sum().backward()
            optimizer.step()
        ends.append(weight.detach())
    torch.testing.assert_close(ends[0], ends[1])


def test_nothing_to_train_is_told() -> None:
    with pytest.raises(UserError, match="all weights are frozen"):
        optimizer_and_schedule([("w", Parameter(torch.ones(1), requires_grad=False))], OptimizerSettings(), 1)
