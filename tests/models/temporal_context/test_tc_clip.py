"""Agreement with the vision tower of the released TC-CLIP."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel

from ost_lightning.models import ContextualVideoCLIP, MeanPooling, TemporalContext
from ost_lightning.models.temporal_context.merging import merge_tokens
from tests.models.foreign import tokenizer
from tests.models.released import Released

RELEASED = Released.load("temporal_context/tc_clip")
NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
    "transformer.resblocks": "encoder.layers",
    "attn": "self_attn",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "c_fc": "fc1",
    "c_proj": "fc2",
}
TABLE = "attn.local_global_bias_table"


def our_name(released: str) -> str:
    """Returns the name in a `VideoCLIP` of one of the authors' weights."""
    if released.endswith(TABLE):
        return f"temporal_context.biases.{int(released.split('.')[2]) - 1}"
    if released == "proj":
        return "encoder.model.visual_projection.weight"
    for theirs, ours in NAMES.items():
        released = released.replace(theirs, ours)
    return f"encoder.model.vision_model.{released}"


def our_form(released: str, tensor: Tensor) -> Tensor:
    if released.endswith(TABLE):
        return tensor[:, 0]
    return tensor.T if released == "proj" else tensor


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ContextualVideoCLIP:
    folder, number = tmp_path_factory.mktemp("clip"), RELEASED.number
    vision = {
        "hidden_size": number("width"),
        "intermediate_size": 4 * number("width"),
        "num_hidden_layers": number("layers"),
        "num_attention_heads": number("heads"),
        "image_size": number("image"),
        "patch_size": number("patch"),
    }
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    text |= {"vocab_size": 64, "bos_token_id": 62, "eos_token_id": 63, "pad_token_id": 63}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=number("projection"))
    CLIPModel(config).save_pretrained(folder)
    tokenizer(64).save_pretrained(folder)

    def context(shape: object) -> TemporalContext:
        return TemporalContext(shape, float(RELEASED.about["seed_share"]), number("context"), number("merge"))  # type: ignore[arg-type]

    clip = ContextualVideoCLIP(str(folder), temporal_context=context, temporal_head=MeanPooling)
    weights = clip.state_dict()
    with torch.no_grad():
        for name, tensor in RELEASED.part("state.").items():
            weights[our_name(name)].copy_(our_form(name, tensor))
    return clip


def layer_by_layer(model: ContextualVideoCLIP) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Returns tokens, context and picked patches after each layer, the last one computed like the others."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []

    def run(tokens: Tensor, layers: torch.nn.ModuleList, /) -> Tensor:
        context = None
        for index, layer in enumerate(layers):
            tokens, context, seeds = model.temporal_context.run_layer(layer, index, tokens, context)
            found.append((tokens, context, seeds))
        return tokens[:, :, 0]

    model.encoder.encode_clips_with(RELEASED["in.pixels"], run)  # type: ignore[operator]
    return found


@torch.no_grad()
def test_tokens_and_picked_patches_of_every_layer(model: ContextualVideoCLIP) -> None:
    clip = model.encoder.model

    def projected(tokens: Tensor) -> Tensor:
        return clip.visual_projection(clip.vision_model.post_layernorm(tokens))

    for index, (tokens, context, seeds) in enumerate(layer_by_layer(model)):
        assert torch.equal(seeds.int(), RELEASED["out.seeds"][:, index])
        torch.testing.assert_close(
            projected(tokens[:, :, 0]), RELEASED["out.class_tokens"][:, index], rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(projected(context), RELEASED["out.context_tokens"][:, index], rtol=1e-5, atol=1e-5)


def test_patches_of_each_context_token(model: ContextualVideoCLIP) -> None:
    """The gradient of a merged token reaches the patches that it stands for, and no other."""
    last = layer_by_layer(model)[-2:]
    (tokens, context, _), (_, _, seeds) = last
    attention = model.temporal_context
    layer = model.encoder.model.vision_model.encoder.layers[-1]
    attended, _ = attention._attend(layer, 2, tokens, context)
    patches = (tokens + attended)[:, :, 1:].detach().requires_grad_()
    picked = patches.gather(2, seeds[..., None].expand(-1, -1, -1, patches.shape[-1])).flatten(1, 2)
    merged = merge_tokens(picked, attention.context_tokens, attention.merges_per_round)
    for token in range(merged.shape[1]):
        (gradient,) = torch.autograd.grad(merged[:, token].sum(), patches, retain_graph=True)
        sources = gradient.abs().sum(-1).flatten(1) > 0
        assert torch.equal(sources, RELEASED["out.source_last"][:, token].bool())


@torch.no_grad()
def test_attention_of_the_class_token(model: ContextualVideoCLIP) -> None:
    tokens, context, _ = layer_by_layer(model)[-2]
    _, shares = model.temporal_context._attend(model.encoder.model.vision_model.encoder.layers[-1], 2, tokens, context)
    assert shares.shape[-1] == tokens.shape[2] + context.shape[1]
    own = shares[..., : tokens.shape[2]].flatten(0, 1)
    torch.testing.assert_close(own, RELEASED["out.attention_own_last"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("recomputed", [False, True])
def test_logits_loss_and_gradients(model: ContextualVideoCLIP, recomputed: bool) -> None:
    for layer in model.encoder.model.vision_model.encoder.layers:
        layer.gradient_checkpointing = recomputed
    model.zero_grad()
    frames = model.encoder.encode_clips_with(RELEASED["in.pixels"], model.temporal_context)  # type: ignore[operator]
    video = F.normalize(frames.mean(1), dim=-1)
    torch.testing.assert_close(video, RELEASED["out.video_embedding"], rtol=1e-5, atol=1e-5)
    logits = RELEASED.number("scale") * video @ RELEASED["in.text_embedding"].T
    torch.testing.assert_close(logits, RELEASED["out.logits"], rtol=1e-5, atol=1e-5)
    loss = F.cross_entropy(logits, RELEASED["in.labels"].long())
    torch.testing.assert_close(loss, RELEASED["out.loss"], rtol=1e-5, atol=1e-5)
    loss.backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    for name, expected in RELEASED.part("grad.").items():
        found, expected = gradients[our_name(name)], our_form(name, expected)
        assert found is not None
        assert float((found - expected).norm()) <= 1e-4 * float(expected.norm()), name
