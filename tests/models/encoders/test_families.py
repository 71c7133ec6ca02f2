"""Every kind of encoder against the forward pass of transformers: tiny random models of the real architectures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers import CLIPModel
from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP, ensemble_weights, frame_fingerprint, weights_digest
from ost_lightning.models.encoders import encoder_class
from ost_lightning.models.encoders.videoprism import canonicalize
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from ost_lightning.tasks.optimizer import layer_factors
from ost_lightning.text import SentenceSet
from tests.models.encoders.families import FAMILIES, Family

PLAIN = ("kick drum", "drum", "a dog s tail on a beach", "x")
SENTENCES = SentenceSet({"name": tuple((text,) for text in PLAIN)})
TRAINABLE = [name for name, family in FAMILIES.items() if family.trainable]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: family.write(tmp_path_factory.mktemp("family")) for name, family in FAMILIES.items()}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, VideoCLIP]:
    return {name: VideoCLIP(str(folder)).eval() for name, folder in folders.items()}


def clips(batch: int = 2, frames: int = 4, size: int = 48) -> Tensor:
    return torch.randint(0, 256, (batch, frames, 3, size, size), dtype=torch.uint8)


def inputs_of(family: Family, frames: Tensor) -> dict[str, Tensor]:
    """Frames (n, 3, S, S) as the library's forward pass takes them, each as a picture or a video of one frame."""
    pixels = family.pixels(frames)
    if "VideoPrism" in family.architecture.__name__:
        # otherwise transformers adds the positions of all frames to a single one, which then counts as many
        return {"pixel_values_videos": pixels[:, None], "interpolate_pos_encoding": True}
    if "Siglip2" not in family.architecture.__name__:
        return {"pixel_values": pixels}
    shape, patches = pixels.shape[-1] // 16, torch.stack([convert_image_to_patches(image, 16) for image in pixels])
    padded = torch.nn.functional.pad(patches, (0, 0, 0, 3))  # the processor pads to the largest number of patches
    mask = (torch.arange(padded.shape[1]) < shape**2).long().expand(len(pixels), -1)
    return {
        "pixel_values": padded,
        "pixel_attention_mask": mask,
        "spatial_shapes": torch.full((len(pixels), 2), shape),
    }


def text_vectors(model: VideoCLIP, sentences: SentenceSet = SENTENCES) -> Tensor:
    return model.encode_sentences(model.tokenize(sentences))["name"]


@torch.no_grad()
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_features_and_logits_are_those_of_transformers(
    name: str, padded: bool, folders: dict[str, Path], models: dict[str, VideoCLIP]
) -> None:
    family, model = FAMILIES[name], models[name]
    frames = clips().flatten(0, 1)
    found, texts = model.encode_frames(frames[:, None]), text_vectors(model)
    logits = model.similarity_to_logits(CategoryName()(found, texts))
    reference = family.reference(folders[name])
    expected = reference(**inputs_of(family, frames), **family.tokens(PLAIN, padded))
    pictures = expected.video_embeds if name == "VideoPrism" else expected.image_embeds
    torch.testing.assert_close(found[:, 0], pictures, atol=1e-5, rtol=0)
    torch.testing.assert_close(texts[:, 0], expected.text_embeds, atol=1e-5, rtol=0)
    if name == "VideoPrism":  # returns probabilities, for a temperature that the checkpoint doesn't contain
        again = reference(**inputs_of(family, frames), **family.tokens(PLAIN, padded), temperature=0.01)
        torch.testing.assert_close(logits.softmax(-1), again.logits_per_text.T, atol=1e-5, rtol=0)
    else:
        torch.testing.assert_close(logits, expected.logits_per_image, atol=1e-5, rtol=1e-5)
    assert float(cosine_similarity(texts[0, 0], texts[3, 0], dim=0)) < 0.99  # the comparison isn't trivial


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_videos_and_sentences_are_independent_of_their_batch(name: str, models: dict[str, VideoCLIP]) -> None:
    model, videos = models[name], clips(3)
    frames, texts = model.encode_frames(videos), text_vectors(model)
    for index, text in enumerate(PLAIN):
        torch.testing.assert_close(text_vectors(model, SentenceSet({"name": ((text,),)}))[0], texts[index])
    torch.testing.assert_close(model.encode_frames(videos[1:2])[0], frames[1])


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_changes_little(name: str, models: dict[str, VideoCLIP]) -> None:
    model, videos = models[name], clips()
    with torch.autocast("cpu", torch.bfloat16):
        frames, texts = model.encode_frames(videos), text_vectors(model)
    assert frames.dtype == texts.dtype == torch.float32
    assert float(cosine_similarity(frames, model.encode_frames(videos), dim=-1).min()) > 0.99
    assert float(cosine_similarity(texts, text_vectors(model), dim=-1).min()) > 0.99


@pytest.mark.parametrize("name", FAMILIES)
def test_sentences_as_long_as_the_model_reads(name: str, models: dict[str, VideoCLIP]) -> None:
    model, positions = models[name], FAMILIES[name].positions
    assert model.encoder.tokenizer.max_tokens == positions
    with pytest.warns(UserWarning, match=rf"1 of 2 name sentences have more than {positions} tokens"):
        tokens = model.tokenize(SentenceSet({"name": (("a " * positions,), ("b",))}))
    assert tokens.tokens["name"].shape[-1] == positions
    vectors = model.encode_sentences(tokens)["name"]
    assert bool(vectors.isfinite().all())


@pytest.mark.parametrize("name", FAMILIES)
def test_preprocessing(name: str, models: dict[str, VideoCLIP], tmp_path: Path) -> None:
    family, found = FAMILIES[name], models[name].preprocessing
    assert (found.image_size, found.mean, found.std) == (48, family.mean, family.std)
    squashed = name in ("SigLIP", "VideoPrism")
    assert found.resize == ("squash" if squashed else "shortest_side")
    models[name].save_pretrained(tmp_path)
    assert VideoCLIP(str(tmp_path)).preprocessing == found


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_with_and_without_checkpointing(name: str, folders: dict[str, Path]) -> None:
    gradients, videos = [], clips()
    for checkpointing in (False, True):
        torch.manual_seed(1)  # the text towers like BERT's have dropout
        model = VideoCLIP(str(folders[name]), gradient_checkpointing=checkpointing)
        logits = model.similarity_to_logits(model.encode_frames(videos).mean(1) @ text_vectors(model)[:, 0].T)
        logits.sin().sum().backward()
        gradients.append({key: parameter.grad for key, parameter in model.named_parameters()})
    without = [key for key, gradient in gradients[0].items() if gradient is None]
    assert without == (["encoder.model.logit_bias"] if "SigLIP" in name else [])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("name", TRAINABLE)
def test_frozen_towers_have_no_gradients_and_no_dropout(name: str, folders: dict[str, Path]) -> None:
    model = VideoCLIP(str(folders[name]), freeze_text=True).train()
    trained = {key.split(".")[2] for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"vision_model", "logit_scale"} | (set() if "SigLIP" in name else {"visual_projection"})
    assert not text_vectors(model).requires_grad
    assert torch.equal(text_vectors(model), text_vectors(model))
    assert model.encoder.tower("vision").backbone.training


@pytest.mark.parametrize("name", TRAINABLE)
def test_layer_decay_reaches_every_layer_once(name: str, folders: dict[str, Path]) -> None:
    encoder = VideoCLIP(str(folders[name])).encoder
    factors = layer_factors(encoder, 0.5)
    for tower in (encoder.tower("vision"), encoder.tower("text")):
        depth = len(tower.layers)
        assert {factors[weight] for part in tower.embeddings for weight in part.parameters()} == {0.5 ** (depth + 1)}
        assert [factors[next(layer.parameters())] for layer in tower.layers] == [
            0.5 ** (depth - index) for index in range(depth)
        ]


@torch.no_grad()
@pytest.mark.parametrize("name", TRAINABLE)
def test_adapters_are_in_both_towers_and_merge(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    model = AdaptedVideoCLIP(str(folders[name]), lora=LoRA(rank=2)).eval()
    adapted = [key for key, _ in model.named_parameters() if "lora_B" in key]
    for tower in ("vision", "text"):
        layers = len(model.encoder.tower(tower).layers)  # type: ignore[arg-type]
        assert sum(f".{tower}_model." in key for key in adapted) == 4 * layers
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.normal_(std=0.1)
    model.save_pretrained(tmp_path)
    again, videos = VideoCLIP(str(tmp_path)).eval(), clips()
    torch.testing.assert_close(again.encode_frames(videos), model.encode_frames(videos), atol=1e-5, rtol=0)
    torch.testing.assert_close(text_vectors(again), text_vectors(model), atol=1e-5, rtol=0)
    before = text_vectors(VideoCLIP(str(folders[name])).eval())
    assert not torch.allclose(before, text_vectors(again), atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", TRAINABLE)
def test_saving_ensembling_and_fingerprints(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    tuned, plain, videos = VideoCLIP(str(folders[name])).eval(), VideoCLIP(str(folders[name])), clips()
    for parameter in tuned.parameters():
        parameter.add_(0.01)
    if (
        name == "Chinese-CLIP"
    ):  # transformers sets the padding's row to zero on loading; it is masked, so nothing changes
        tuned.encoder.model.text_model.embeddings.word_embeddings.weight[0] = 0
    tuned.save_pretrained(tmp_path)
    again = VideoCLIP(str(tmp_path)).eval()
    assert weights_digest(again) == weights_digest(tuned) != weights_digest(plain)
    assert torch.equal(again.encode_frames(videos), tuned.encode_frames(videos))
    assert torch.equal(text_vectors(again), text_vectors(tuned))
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(tuned, "fp32") != frame_fingerprint(plain, "fp32")
    mixed = ensemble_weights(tuned.original_parameters(), dict(tuned.named_parameters()), 0.25)
    for (key, before), after in zip(plain.named_parameters(), tuned.parameters(), strict=True):
        torch.testing.assert_close(mixed[key], 0.25 * before + 0.75 * after)
    expected = FAMILIES[name].reference(tmp_path)(
        **inputs_of(FAMILIES[name], videos.flatten(0, 1)), **FAMILIES[name].tokens(PLAIN, padded=False)
    )
    torch.testing.assert_close(text_vectors(again)[:, 0], expected.text_embeds, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("weights", "config"),
    [*zip(FAMILIES, [*FAMILIES][3:], strict=False), *zip([*FAMILIES][3:], FAMILIES, strict=False)],
)
def test_weights_of_another_architecture_are_rejected(
    weights: str, config: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[weights], tmp_path, dirs_exist_ok=True)
    shutil.copy(folders[config] / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"weights of .* are not a complete \w+ as in its config.json"):
        VideoCLIP(str(tmp_path))


def changed_config(folder: Path, target: Path, tower: str, **values: Any) -> Path:
    """Copies a folder and changes the configuration of one tower."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    config = json.loads((target / "config.json").read_text())
    config[f"{tower}_config"] |= values
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("SigLIP 2 NaFlex", "VideoPrism")])
def test_weights_for_another_image_size_are_rejected(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed_config(folders[name], tmp_path / "changed", "vision", image_size=64)
    with pytest.raises(CheckpointError, match=r"first: vision_model.embeddings.position_embedding.weight"):
        VideoCLIP(str(folder))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokenizer_of_another_model_is_rejected(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    other = "MetaCLIP 2" if name in ("LongCLIP", "TinyCLIP", "Chinese-CLIP", "VideoPrism") else "LongCLIP"
    shutil.copytree(folders[name], tmp_path, dirs_exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folders[other] / file, tmp_path)
    with pytest.raises(CheckpointError, match="tokenizer"):
        VideoCLIP(str(tmp_path))


@torch.no_grad()
@pytest.mark.parametrize("patches", [4, 15, 25])
def test_naflex_reads_the_largest_square_of_its_number_of_patches(
    patches: int, folders: dict[str, Path], tmp_path: Path
) -> None:
    """15 patches are not a square, so 9 are used; for 4 and 25 the position embeddings are resized."""
    shutil.copytree(folders["SigLIP 2 NaFlex"], tmp_path, dirs_exist_ok=True)
    settings = {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 16, "max_num_patches": patches}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    model, family = VideoCLIP(str(tmp_path)).eval(), FAMILIES["SigLIP 2 NaFlex"]
    assert model.image_size == {4: 32, 15: 48, 25: 80}[patches]
    videos = clips(size=model.image_size)
    reference = family.reference(tmp_path)(
        **inputs_of(family, videos.flatten(0, 1)), **family.tokens(PLAIN, padded=True)
    )
    torch.testing.assert_close(model.encode_frames(videos).flatten(0, 1), reference.image_embeds, atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path / "saved")
    assert VideoCLIP(str(tmp_path / "saved")).preprocessing == model.preprocessing


def test_naflex_with_a_damaged_number_of_patches_is_rejected(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["SigLIP 2 NaFlex"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "preprocessor_config.json").write_text('{"max_num_patches": "many"}')
    with pytest.raises(CheckpointError, match="max_num_patches is 'many', expected a number of patches such as 256"):
        VideoCLIP(str(tmp_path))


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 4, 7])
def test_vectors_of_videoprism_are_the_parts_of_the_vector_of_the_clip(
    frames: int, folders: dict[str, Path], models: dict[str, VideoCLIP]
) -> None:
    """In each attention head of the pooling, the clip is a weighted mean of the frames."""
    model, reference = models["VideoPrism"], FAMILIES["VideoPrism"].reference(folders["VideoPrism"])
    videos = clips(2, frames)
    resized = {"interpolate_pos_encoding": frames != 4}
    whole = reference.video_model(videos / 255, **resized)
    found = model.encode_frames(videos)
    assert found.shape == (2, frames, 32)
    if frames == 1:
        torch.testing.assert_close(found, whole.pooler_output, atol=1e-5, rtol=0)

    head, values, weights = reference.video_model.head, [], []
    tokens = whole.last_hidden_state
    query = head.q_proj(head.pooling_attention_query) * head.scaling
    query = query.unflatten(-1, (2, -1)) * torch.nn.functional.softplus(head.per_dim_scale)
    for part in (tokens, *tokens.unflatten(1, (frames, -1)).unbind(1)):
        exponents = torch.einsum("xyhc,blhc->bhl", query, head.k_proj(part).unflatten(-1, (2, -1))).exp()
        summed = torch.einsum("bhl,blhc->bhc", exponents, head.v_proj(part).unflatten(-1, (2, -1)))
        weights.append(exponents.sum(-1))
        values.append(summed / weights[-1][..., None])
    shares = torch.stack(weights[1:]) / weights[0]
    torch.testing.assert_close(shares.sum(0), torch.ones_like(shares[0]))
    torch.testing.assert_close((shares[..., None] * torch.stack(values[1:])).sum(0), values[0], atol=1e-5, rtol=1e-4)
    vectors = [reference.video_model.head_layernorm(head.o_proj(value.flatten(1))) for value in values]
    expected = torch.nn.functional.normalize(torch.stack(vectors[1:], 1), dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        torch.nn.functional.normalize(vectors[0], dim=-1), whole.pooler_output[:, 0], atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_an_image_is_a_clip_of_one_frame_to_videoprism(models: dict[str, VideoCLIP]) -> None:
    encoder, pixels = models["VideoPrism"].encoder, torch.rand(3, 3, 48, 48)
    torch.testing.assert_close(encoder.encode_pixels(pixels), encoder.encode_clips(pixels[:, None])[:, 0])


def test_videoprism_is_not_trained(folders: dict[str, Path]) -> None:
    model = VideoCLIP(str(folders["VideoPrism"]))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.encoder.backbone_name == "VideoPrism-2+1+1x32/16 at 48"
    with pytest.raises(UserError, match="videoprism is for evaluation only"):
        AdaptedVideoCLIP(str(folders["VideoPrism"]))


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [("Hello, World!", "hello world."), ("Hello,World..", "hello world."), ("  Hello   WORLD", "hello world.")],
)
def test_sentences_for_videoprism_are_canonicalized(sentence: str, expected: str) -> None:
    """The examples of the publisher's documentation."""
    assert canonicalize(sentence) == expected == canonicalize(expected)


def test_a_tokenizer_that_adds_an_end_token_is_not_that_of_videoprism(folders: dict[str, Path], tmp_path: Path) -> None:
    """T5's tokenizer has the same pieces, and adds one."""
    shutil.copytree(folders["VideoPrism"], tmp_path, dirs_exist_ok=True)
    file = tmp_path / "tokenizer.json"
    added = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    content = json.loads(file.read_text()) | {"post_processor": json.loads(added.__getstate__())}
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"adds \['</s>'\] to sentences"):
        VideoCLIP(str(tmp_path))


@torch.no_grad()
def test_metaclip_2_is_read_at_its_end_token_whatever_its_configuration_says(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """`CLIPModel` takes the id 2 for OpenAI's old configuration, and reads the largest token."""
    folder = changed_config(folders["MetaCLIP 2"], tmp_path / "changed", "text", eos_token_id=58)
    right = text_vectors(VideoCLIP(str(folders["MetaCLIP 2"])).eval())
    model = VideoCLIP(str(folder)).eval()
    assert torch.equal(text_vectors(model), right)
    model.save_pretrained(tmp_path / "saved")  # with the right id, so that transformers reads it, too
    family = FAMILIES["MetaCLIP 2"]
    tokens = family.tokens(PLAIN, padded=True)
    saved = family.reference(tmp_path / "saved").get_text_features(**tokens).pooler_output
    torch.testing.assert_close(torch.nn.functional.normalize(saved, dim=-1), right[:, 0], atol=1e-5, rtol=0)
    wrong = CLIPModel.from_pretrained(folders["MetaCLIP 2"]).eval().get_text_features(**tokens).pooler_output
    assert float(cosine_similarity(wrong, right[:, 0], dim=-1).min()) < 0.9


@torch.no_grad()
@pytest.mark.parametrize("name", ["MetaCLIP 2", "AltCLIP", "Chinese-CLIP"])
def test_sentences_in_other_languages(name: str, models: dict[str, VideoCLIP]) -> None:
    texts = text_vectors(models[name], SentenceSet({"name": (("打篮球",), ("grüße",), ("вада",), ("打",))}))[:, 0]
    assert float((texts @ texts.T - torch.eye(4)).max()) < 0.999


def test_images_that_are_not_square_are_rejected(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed_config(folders["VideoPrism"], tmp_path / "changed", "vision", image_size=[48, 64])
    with pytest.raises(CheckpointError, match="image_size is .* expected one number or two equal ones"):
        encoder_class(str(folder)).load_preprocessing(str(folder))
