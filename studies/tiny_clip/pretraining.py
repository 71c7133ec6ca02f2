"""Pre-training of the tiny CLIP or SigLIP on rendered stills: attribute warm-up, then captions and phrases.

A vision tower of this size does not learn small shapes from captions alone in an affordable time on a CPU. So it first
learns to classify every visible attribute with learned class vectors (supervised). Then, together with the text tower,
it learns to match stills with captions and phrases (contrastive). It is therefore not a plain CLIP or SigLIP, and
figures measured with it say nothing about one.
"""

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from ost_lightning.models.encoders import DualEncoder, Preprocessing
from ost_lightning.toyworld.scene import FRAME_SIDE
from ost_lightning.toyworld.vocabulary import COLORS, EXTRAS, HATS, PROPS, SETTINGS, STATES
from studies.tiny_clip.architecture import ARCHITECTURES, Architecture, CosineHead, train_tokenizer
from studies.tiny_clip.captions import caption
from studies.tiny_clip.phrase_banks import NO_ANSWER, phrase_banks
from studies.tiny_clip.probe import probe
from studies.tiny_clip.stills import Still, render_stills

_CROP: Final = 64
_VALUES: Final[dict[str, list[str | None]]] = {
    "setting": [*SETTINGS],
    "outfit": [*COLORS],
    "prop": [*PROPS],
    "prop_color": [*COLORS],
    "hat": [*HATS],
    "extra": [*EXTRAS, None],
    "state": [*STATES],
}


@dataclass(frozen=True)
class Recipe:
    """Training recipe of the tiny models.

    Attributes:
        architecture: Architecture of the model; it also decides on the loss, softmax or sigmoid.
        seed: Seed for stills, weights and order.
        stills: Number of rendered training stills.
        held_out: Number of rendered stills for measuring accuracy.
        warmup_steps: Number of steps in the attribute warm-up.
        warmup_batch: Number of stills per step in the warm-up.
        caption_steps: Number of steps with captions and phrases.
        caption_batch: Number of stills per step with captions.
        learning_rate: Peak learning rate of everything but the towers' matrices.
        matrix_learning_rate: Peak learning rate of those matrices, which Muon updates.
        caption_rate: Fraction of both peak learning rates that the second part starts with.
    """

    architecture: Architecture = "clip"
    seed: int = 0
    stills: int = 60_000
    held_out: int = 1000
    warmup_steps: int = 7000
    warmup_batch: int = 64
    caption_steps: int = 1600
    caption_batch: int = 128
    learning_rate: float = 3e-3
    matrix_learning_rate: float = 0.02
    caption_rate: float = 0.5


class _Stills:
    """Stills on a device, cropped and normalized for the model."""

    def __init__(self, count: int, seed: str, workers: int, device: str, preprocessing: Preprocessing) -> None:
        self.stills, pixels = render_stills(count, seed, workers)
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
        self._side = preprocessing.image_size
        self._mean, self._std = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std)
        )

    def images(self, chosen: Tensor | slice, rng: random.Random | None = None) -> Tensor:
        """Returns (n, 3, S, S): one random crop and flip for the batch, or the center crop."""
        free = FRAME_SIDE - _CROP
        top, left = (rng.randint(0, free), rng.randint(0, free)) if rng else (free // 2, free // 2)
        crops = self.pixels[chosen, :, top : top + _CROP, left : left + _CROP].float() / 255
        if rng and rng.random() < 0.5:
            crops = crops.flip(-1)
        return (F.interpolate(crops, size=self._side, mode="area") - self._mean) / self._std


class FullPrecision(TorchFunctionMode):
    """Turns casts to bf16 into fp32 copies.

    Muon multiplies its matrices in bf16, which takes fifty times as long on a processor without bf16 instructions.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Copies to fp32 instead of casting to bf16."""
        if func is Tensor.bfloat16:
            return args[0].float().clone()
        return func(*args, **(kwargs or {}))


class Pretraining:
    """A pre-training run, from random weights to a folder in Hugging Face format.

    Args:
        recipe: Training recipe.
        device: Torch device of the model.
        workers: Number of processes that render.
    """

    def __init__(self, recipe: Recipe, *, device: str, workers: int) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self.log: list[dict[str, Any]] = []
        self._rng = random.Random(recipe.seed)
        tokenizer = train_tokenizer(f"tokenizer {recipe.seed}")
        self.encoder: DualEncoder = ARCHITECTURES[recipe.architecture](tokenizer).to(device)
        shape = self.encoder.preprocessing
        self._train = _Stills(recipe.stills, f"pretraining {recipe.seed}", workers, device, shape)
        self._held_out = _Stills(recipe.held_out, f"held out {recipe.seed}", workers, device, shape)
        slow = device == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"
        self._products: AbstractContextManager[object] = FullPrecision() if slow else nullcontext()

    def warm_up(self) -> None:
        """Runs the first part: the vision tower with learned class vectors for every attribute."""
        recipe = self.recipe
        heads = nn.ModuleDict({key: CosineHead(len(values)) for key, values in _VALUES.items()}).to(self.device)
        truth = {key: self._truth(self._train.stills, key) for key in _VALUES}
        held_truth = {key: self._truth(self._held_out.stills, key) for key in _VALUES}
        vision = nn.ModuleList([*self.encoder.tower("vision").parts, heads])
        optimizers = self._optimizers(vision, 1.0)
        for step in self._steps("attribute warm-up", recipe.warmup_steps, optimizers):
            chosen = torch.tensor(self._rng.choices(range(recipe.stills), k=recipe.warmup_batch), device=self.device)
            seen = self._encode_images(self._train.images(chosen, self._rng))
            loss = torch.stack([F.cross_entropy(heads[key](seen), truth[key][chosen]) for key in _VALUES]).mean()
            self._update(loss, optimizers, vision)
            if self._is_due(step, recipe.warmup_steps):
                with torch.no_grad():
                    held = self._held_out_embeddings()
                    accuracy = {
                        key: (heads[key](held).argmax(1) == held_truth[key]).float().mean().item() for key in _VALUES
                    }
                self._record("attribute warm-up, linear heads", step, loss, accuracy)

    def learn_captions(self) -> None:
        """Runs the second part: both towers, stills against captions and phrases for every attribute."""
        recipe = self.recipe
        by_prop = {
            prop: [i for i, still in enumerate(self._train.stills) if still.appearance.prop == prop] for prop in PROPS
        }
        optimizers = self._optimizers(self.encoder, recipe.caption_rate)
        for step in self._steps("captions and phrases", recipe.caption_steps, optimizers):
            # half of each batch shows only two props, so that their names alone do not separate the stills
            focus = self._rng.sample(PROPS, 2)
            part = recipe.caption_batch // 4
            chosen = [i for prop in focus for i in self._rng.choices(by_prop[prop], k=part)]
            chosen += self._rng.choices(range(recipe.stills), k=recipe.caption_batch - len(chosen))
            stills = [self._train.stills[i] for i in chosen]
            seen = self._encode_images(self._train.images(torch.tensor(chosen, device=self.device), self._rng))
            loss = self._caption_loss(seen, stills) + self._phrase_loss(seen, stills, focus)
            self._update(loss, optimizers, self.encoder)
            if self._is_due(step, recipe.caption_steps):
                self._record("captions and phrases, zero-shot by text", step, loss, self.probe())

    def probe(self) -> dict[str, float]:
        """Returns the zero-shot accuracy on the held-out stills."""
        with torch.no_grad():
            return probe(self._held_out_embeddings(), self._held_out.stills, self._encode_text)

    def save(self, folder: Path) -> None:
        """Writes weights in half precision, configuration, tokenizer, preprocessing and the log."""
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.half().save_pretrained(folder)
        content = {"recipe": asdict(self.recipe), "log": self.log}
        (folder / "pretraining.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _caption_loss(self, seen: Tensor, stills: Sequence[Still]) -> Tensor:
        read = self._encode_text([caption(still.appearance, still.state, self._rng) for still in stills])
        logits = self.encoder.similarity_to_logits(seen @ read.T)
        truth = torch.arange(len(stills), device=self.device)
        if self.encoder.logit_bias is not None:
            return sigmoid_loss(logits, truth)
        return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2

    def _phrase_loss(self, seen: Tensor, stills: Sequence[Still], focus: list[str]) -> Tensor:
        banks = phrase_banks(focus, self._rng)
        read = self._encode_text([phrase for bank in banks for phrase in bank.phrases]).split(
            [len(bank.phrases) for bank in banks]
        )
        losses = []
        for bank, texts in zip(banks, read, strict=True):
            truth = torch.tensor([bank.answer(still) for still in stills], device=self.device)
            logits = self.encoder.similarity_to_logits(seen @ texts.T)
            if self.encoder.logit_bias is not None:
                losses.append(sigmoid_loss(logits, truth))
            else:
                losses.append(F.cross_entropy(logits, truth, ignore_index=NO_ANSWER))
        return torch.stack(losses).mean()

    def _encode_images(self, images: Tensor) -> Tensor:
        return F.normalize(self.encoder.encode_pixels(images), dim=-1)

    def _encode_text(self, sentences: list[str]) -> Tensor:
        tokens, lengths = self.encoder.tokenizer(sentences)
        return F.normalize(self.encoder.encode_tokens(tokens.to(self.device), lengths), dim=-1)

    def _held_out_embeddings(self) -> Tensor:
        count = len(self._held_out.stills)
        return torch.cat(
            [self._encode_images(self._held_out.images(slice(start, start + 250))) for start in range(0, count, 250)]
        )

    def _truth(self, stills: Sequence[Still], key: str) -> Tensor:
        shown = [still.state if key == "state" else getattr(still.appearance, key) for still in stills]
        return torch.tensor([_VALUES[key].index(value) for value in shown], device=self.device)

    def _optimizers(self, module: nn.Module, share: float) -> list[torch.optim.Optimizer]:
        """Returns Muon (Jordan et al., 2024) for the matrices of transformer layers, and AdamW for the rest."""
        matrices = [p for name, p in module.named_parameters() if "layers." in name and p.ndim == 2]
        others = [p for name, p in module.named_parameters() if not ("layers." in name and p.ndim == 2)]
        return [
            torch.optim.Muon(matrices, lr=share * self.recipe.matrix_learning_rate, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(
                others, lr=share * self.recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
            ),
        ]

    def _steps(self, title: str, count: int, optimizers: list[torch.optim.Optimizer]) -> "tqdm[int]":
        """Counts steps with a progress bar, and schedules learning rates: short warm-up, then cosine to 2 %."""
        schedules = [
            torch.optim.lr_scheduler.LambdaLR(
                optimizer,
                lambda step: min(1, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / count)) / 2),
            )
            for optimizer in optimizers
        ]
        self._schedules, self._began = schedules, time.monotonic()
        return tqdm(range(1, count + 1), desc=title, unit="step")

    def _update(self, loss: Tensor, optimizers: list[torch.optim.Optimizer], module: nn.Module) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, self._schedules, strict=True):
            with self._products:
                optimizer.step()
            schedule.step()

    def _is_due(self, step: int, count: int) -> bool:
        return step % max(1, count // 8) == 0 or step == count

    def _record(self, part: str, step: int, loss: Tensor, accuracy: dict[str, float]) -> None:
        entry = {
            "part": part,
            "step": step,
            "seconds": round(time.monotonic() - self._began, 1),
            "loss": round(loss.item(), 4),
        }
        self.log.append(entry | {"accuracy": {key: round(value, 3) for key, value in accuracy.items()}})
        tqdm.write(json.dumps(self.log[-1]))


def sigmoid_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Returns the sigmoid loss of SigLIP: each pair of still and sentence is a yes-or-no question.

    Args:
        logits: Log-odds that still and sentence match, (n, k).
        truth: Index of the sentence that matches each still, int64 (n,); `NO_ANSWER` if none does.

    Returns:
        Sum over sentences, mean over stills.
    """
    matches = truth[:, None] == torch.arange(logits.shape[1], device=logits.device)
    return F.binary_cross_entropy_with_logits(logits, matches.float(), reduction="sum") / len(logits)


def pretrain(output: Path, recipe: Recipe, *, device: str | None = None, workers: int = 2) -> dict[str, float]:
    """Trains a tiny CLIP or SigLIP and writes it as a folder in HF format.

    Args:
        output: Output folder.
        recipe: Training recipe; the default takes less than half an hour on two CPU cores with AVX-512.
        device: Torch device; defaults to a GPU if available.
        workers: Number of processes that render.

    Returns:
        Zero-shot accuracy by attribute on held-out stills.
    """
    run = Pretraining(recipe, device=device or ("cuda" if torch.cuda.is_available() else "cpu"), workers=workers)
    run.warm_up()
    run.learn_captions()
    run.save(output)
    scores: dict[str, float] = run.log[-1]["accuracy"]
    return scores
