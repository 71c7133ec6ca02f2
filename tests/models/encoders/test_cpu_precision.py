from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel

from ost_lightning.errors import UserError
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.models import CPUPrecision, VideoCLIP, frame_fingerprint, use_cpu_precision
from ost_lightning.models.encoders import DualEncoder, cpu_precision
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.recognition import load_trained_model
from ost_lightning.toyworld.clips import render_clip
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes

CPU = torch.device("cpu")
PRECISIONS: tuple[CPUPrecision, ...] = ("fp32", "bf16")


def clips() -> Tensor:
    return torch.randint(0, 256, (2, 3, 3, 48, 48), dtype=torch.uint8)


def model(precision: CPUPrecision) -> VideoCLIP:
    made = VideoCLIP("tiny").eval()
    use_cpu_precision(made.encoder, precision, CPU)
    return made


def test_frames_are_embedded_in_the_precision_that_was_set() -> None:
    exact, lower, frames = model("fp32"), model("bf16"), clips()
    with torch.no_grad():
        usual = VideoCLIP("tiny").eval().encode_frames(frames)
        assert torch.equal(exact.encode_frames(frames), usual)
        found = lower.encode_frames(frames)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(exact.encode_frames(frames), found)
        sentences = (torch.tensor([[0, 5, 7, 1]]), torch.tensor([4]))
        assert torch.equal(lower.encode_tokens(*sentences), exact.encode_tokens(*sentences))
    assert found.dtype == torch.float32
    assert 1e-5 < float((found - usual).abs().max()) < 0.01
    # training is in fp32 whatever was set
    torch.testing.assert_close(lower.encode_frames(frames), exact.encode_frames(frames), rtol=0, atol=0)


def test_what_is_stored_names_the_precision() -> None:
    exact, lower = model("fp32"), model("bf16")
    assert exact.encoder.unusual_precision == {}
    assert lower.encoder.unusual_precision == {"precision": "bf16 on a CPU"}
    assert frame_fingerprint(exact, "") == frame_fingerprint(VideoCLIP("tiny").eval(), "")
    assert frame_fingerprint(exact, "") != frame_fingerprint(lower, "")


class Clock:
    """Measured times of products in fp32 and bf16, in turn, and the number of products that were timed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, single: list[float], half: list[float]) -> None:
        self.asked = 0
        times = {torch.float32: iter([single[0], *single]), torch.bfloat16: iter(half)}

        def seconds(compute: Callable[[], Any]) -> float:
            self.asked += 1
            return next(times[compute()])

        monkeypatch.setattr(cpu_precision, "seconds", seconds)
        monkeypatch.setattr(cpu_precision, "product", lambda dtype: lambda: dtype)
        cpu_precision.bf16_speed.cache_clear()
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)


@pytest.fixture
def encoder() -> DualEncoder:
    return VideoCLIP("tiny").encoder


def test_auto_chooses_what_is_faster(encoder: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    # one turn was disturbed, which the median ignores
    clock = Clock(monkeypatch, [0.04] * 8, [0.02] * 4 + [0.9] + [0.02] * 3)
    expected = "Frames are embedded in bf16, because this CPU multiplies matrices 2.0 x as fast in bf16 as in fp32."
    assert use_cpu_precision(encoder, "auto", CPU) == expected
    assert encoder.cpu_precision == "bf16"
    asked = clock.asked
    other = VideoCLIP("tiny").encoder
    assert use_cpu_precision(other, "auto", CPU) == expected
    assert other.cpu_precision == "bf16"
    assert clock.asked == asked  # measured once per process


@pytest.mark.parametrize(
    ("half", "speed", "asked"), [([0.04] * 8, "1.0", 17), ([0.036] * 8, "1.1", 17), ([4.0], "0.0", 3)]
)
def test_auto_stays_in_fp32_where_bf16_is_not_faster(
    half: list[float], speed: str, asked: int, encoder: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, [0.04] * 8, half)
    remark = use_cpu_precision(encoder, "auto", CPU)
    assert remark.startswith("Frames are embedded in fp32")
    assert f"{speed} x as fast" in remark
    assert encoder.cpu_precision == "fp32"
    assert clock.asked == asked  # emulated products are timed once


def test_the_measurement_is_short() -> None:
    cpu_precision.bf16_speed.cache_clear()
    single, half = cpu_precision.product(torch.float32), cpu_precision.product(torch.bfloat16)
    assert single().shape == half().shape == (512, 3072)
    assert half().dtype == torch.bfloat16
    torch.testing.assert_close(half().float(), single(), atol=1.0, rtol=0.05)
    assert cpu_precision.bf16_speed(torch.get_num_threads()) > 0


def test_a_gpu_has_no_such_choice(encoder: DualEncoder) -> None:
    gpu = torch.device("cuda:1")
    assert use_cpu_precision(encoder, "auto", gpu) == ""
    assert use_cpu_precision(encoder, "fp32", gpu) == ""
    assert encoder.cpu_precision == "fp32"
    with pytest.raises(UserError, match="cpu_precision is bf16, but the device is cuda:1, not a CPU"):
        use_cpu_precision(encoder, "bf16", gpu)
    with pytest.raises(UserError, match="cpu_precision is 'fp16': expected fp32, bf16 or auto"):
        use_cpu_precision(encoder, "fp16", CPU)  # type: ignore[arg-type]


def test_fp8_excludes_it(encoder: DualEncoder) -> None:
    use_cpu_precision(encoder, "bf16", CPU)
    with pytest.raises(UserError, match="cpu_precision is bf16, which fp8 excludes"):
        encoder.use_fp8([CPU])
    use_cpu_precision(encoder, "fp32", CPU)
    encoder.use_fp8([CPU])
    with pytest.raises(UserError, match="cpu_precision is auto, which fp8 excludes"):
        use_cpu_precision(encoder, "auto", CPU)


def test_rendered_videos_are_recognized_as_in_fp32() -> None:
    labels, actions = label_space(0, "unseen"), draw_classes(0)["unseen"]
    rendered = np.stack([render_clip(action, "a")[::4] for action in actions])
    side = (rendered.shape[2] - 48) // 2
    videos = torch.from_numpy(rendered)[:, None, :, side : side + 48, side : side + 48].movedim(-1, -3)
    trained = load_trained_model("tiny")
    clip = trained.video_clip.eval()
    sentences = trained.templates.apply(labels, trained.matcher.kinds, 4, clip.token_count)
    found = {}
    with torch.inference_mode():
        texts = clip.encode_sentences(clip.tokenize(sentences))
        for precision in PRECISIONS:
            use_cpu_precision(clip.encoder, precision, CPU)
            found[precision] = probabilities(clip, trained.matcher, texts, embed(clip, videos))
    assert torch.equal(found["fp32"].argmax(-1), found["bf16"].argmax(-1))
    fifth = found["fp32"].topk(6).values[:, 4:].diff().abs()[:, 0] > 0.002  # the fifth class is no close call
    assert fifth.float().mean() > 0.5
    first = [found[precision].topk(5).indices.sort().values[fifth] for precision in PRECISIONS]
    assert torch.equal(*first)
    assert 0 < float((found["fp32"] - found["bf16"]).abs().max()) < 0.02


def test_a_large_model_keeps_its_five_likeliest_classes() -> None:
    """ViT-B/32 with random weights, and sentences with the cosines that CLIP has: 0.15 to 0.3."""
    tiny = VideoCLIP("tiny").encoder
    sizes = CLIPConfig(text_config={"num_hidden_layers": 1}, vision_config={"patch_size": 32})
    encoder = CLIPEncoder(CLIPModel(sizes).eval(), tiny.tokenizer, tiny.preprocessing)
    pixels = torch.randn(4, 3, 224, 224)
    found = []
    with torch.inference_mode():
        for precision in PRECISIONS:
            use_cpu_precision(encoder, precision, CPU)
            with encoder.arithmetic():
                found.append(F.normalize(encoder.encode_pixels(pixels), dim=-1))
    exact, lower = found
    video = F.normalize(exact.mean(0), dim=-1)
    cosines = torch.linspace(0.15, 0.3, 20)[:, None]
    noise = torch.randn(20, len(video))
    noise = F.normalize(noise - (noise @ video)[:, None] * video, dim=-1)
    texts = cosines * video + (1 - cosines**2).sqrt() * noise
    logits = [100 * embedded.mean(0) @ texts.T for embedded in (exact, lower)]
    assert torch.equal(logits[0].topk(5).indices, logits[1].topk(5).indices)
    assert float((logits[0].softmax(-1) - logits[1].softmax(-1)).abs().max()) < 0.01
    assert float(F.cosine_similarity(exact, lower, dim=-1).min()) > 0.9999
