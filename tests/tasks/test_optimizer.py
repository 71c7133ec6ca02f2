import pytest
import torch
from torch.nn import Parameter

from ost_lightning.errors import UserError
from ost_lightning.models import DualEncoder, VideoCLIP
from ost_lightning.tasks import OptimizerSettings
from ost_lightning.tasks.optimizer import layer_factors, optimizer_and_schedule


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    return VideoCLIP("tiny").encoder


def factors_of(encoder: DualEncoder, decay: float) -> dict[str, float]:
    factors = layer_factors(encoder, decay)
    return {name: factors[parameter] for name, parameter in encoder.model.named_parameters()}


def test_lower_layers_have_smaller_learning_rates(encoder: DualEncoder) -> None:
    factors = factors_of(encoder, 0.5)
    depth = len(encoder.tower("vision").layers)
    vision = "vision_model"
    for name in ("embeddings.patch_embedding.weight", "pre_layrnorm.weight"):
        assert factors[f"{vision}.{name}"] == 0.5 ** (depth + 1)
    for k in range(depth):
        assert factors[f"{vision}.encoder.layers.{k}.mlp.fc1.weight"] == 0.5 ** (depth - k)
    for name in (f"{vision}.post_layernorm.weight", "visual_projection.weight", "logit_scale"):
        assert factors[name] == 1


@pytest.mark.parametrize("decay", [0.1, 0.75, 1.0])
def test_learning_rates_never_decrease_towards_the_output(encoder: DualEncoder, decay: float) -> None:
    factors = factors_of(encoder, decay)
    for tower in ("vision_model", "text_model"):
        below = factors[f"{tower}.embeddings.position_embedding.weight"]
        layers = [rate for name, rate in factors.items() if name.startswith(f"{tower}.encoder.") and "fc1" in name]
        assert [below, *layers] == sorted([below, *layers])
        assert layers[-1] == pytest.approx(decay)


def test_every_trained_weight_is_in_one_group_with_its_learning_rate() -> None:
    model = torch.nn.ModuleDict({"video_clip": VideoCLIP("tiny", freeze_text=True), "head": torch.nn.Linear(2, 2)})
    settings = OptimizerSettings(learning_rate=1.0, layer_decay=0.5, new_module_lr_multiplier=10.0, weight_decay=0.3)
    optimizer = optimizer_and_schedule(model.named_parameters(), settings, 10, model["video_clip"].encoder)["optimizer"]
    grouped = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(grouped) == len(trained) == sum(len(group["params"]) for group in optimizer.param_groups)
    rates = {name: grouped[id(parameter)]["initial_lr"] for name, parameter in trained.items()}
    assert rates["head.weight"] == 10
    assert rates["video_clip.encoder.model.logit_scale"] == 1
    assert rates["video_clip.encoder.model.visual_projection.weight"] == 1
    assert rates["video_clip.encoder.model.vision_model.encoder.layers.2.mlp.fc1.weight"] == 0.5
    assert rates["video_clip.encoder.model.vision_model.encoder.layers.0.mlp.fc1.weight"] == 0.125
    assert grouped[id(trained["head.bias"])]["weight_decay"] == 0
    assert grouped[id(trained["head.weight"])]["weight_decay"] == 0.3


def test_fused_updates_are_the_same() -> None:
    ends = []
    for fused in (False, True):
        torch.manual_seed(0)
        weight = Parameter(torch.randn(5, 5))
        settings = OptimizerSettings(learning_rate=0.1, fused=fused, warmup_fraction=0.0)
        optimizer = optimizer_and_schedule([("weight", weight)], settings, 3)["optimizer"]
        for _ in range(3):
            (weight**2).sum().backward()
            optimizer.step()
        ends.append(weight.detach())
    torch.testing.assert_close(ends[0], ends[1])


def test_training_with_all_weights_frozen_is_rejected() -> None:
    with pytest.raises(UserError, match="all weights are frozen"):
        optimizer_and_schedule([("weight", Parameter(torch.ones(1), requires_grad=False))], OptimizerSettings(), 1)


def test_weights_can_be_exempt_from_weight_decay_by_name(encoder: DualEncoder) -> None:
    settings = OptimizerSettings(weight_decay=0.3, weight_decay_on_all=True, no_weight_decay=("*.bias", "*position_*"))
    named = dict(encoder.named_parameters())
    optimizer = optimizer_and_schedule(named.items(), settings, 10, encoder)["optimizer"]
    decays = {id(weight): group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    without = {name for name, weight in named.items() if decays[id(weight)] == 0}
    assert without == {name for name in named if name.endswith(".bias") or "position_" in name}
    assert decays[id(encoder.model.logit_scale)] == 0.3


def test_a_pattern_for_weight_decay_that_matches_nothing_is_rejected(encoder: DualEncoder) -> None:
    settings = OptimizerSettings(no_weight_decay=("*queries",))
    with pytest.raises(UserError, match=r"optimizer\.no_weight_decay has the pattern '\*queries'"):
        optimizer_and_schedule(encoder.named_parameters(), settings, 10, encoder)
