from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.tasks.gathering import gather
from ost_lightning.toyworld.dataset import label_space
from tests.processes import in_processes

VIDEOS, CLASSES = 12, 5  # classes repeat within a process and across processes
Gradients = dict[str, Tensor]


def test_a_single_process_gathers_only_its_own_rows() -> None:
    rows = torch.randn(3, 2, requires_grad=True)
    assert gather(rows) is rows


def check_gather(folder: Path) -> None:
    rank, world = distributed.get_rank(), distributed.get_world_size()
    rows = torch.full((2, 3), float(rank + 1), requires_grad=True)
    gathered = gather(rows)
    assert gathered[:, 0].tolist() == [float(r + 1) for r in range(world) for _ in range(2)]
    # process r weights the rows by r + 1: the gradient is the sum of these weights over all processes
    weight = torch.arange(2.0 * world)[:, None] * (rank + 1)
    (gathered * weight).sum().backward()
    expected = torch.arange(2.0 * world)[2 * rank : 2 * rank + 2, None] * sum(range(1, world + 1))
    torch.testing.assert_close(rows.grad, expected.expand(2, 3))
    assert gather(torch.tensor([rank])).tolist() == list(range(world))


def world_of_videos() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    clips = torch.randint(0, 256, (VIDEOS, 1, 4, 3, 48, 48), dtype=torch.uint8, generator=generator)
    return clips, torch.randint(0, CLASSES, (VIDEOS,), generator=generator)


class Step(nn.Module):
    """A module whose output is the loss, for DDP."""

    def __init__(self, matcher: str) -> None:
        super().__init__()
        chosen = {"category": CategoryName, "solver": OptimalDescriptorSolver}[matcher]()
        self.task = ContrastiveRecognition(VideoCLIP("tiny"), chosen)
        self.sentences = self.task.tokenize(label_space(0, "seen"))

    def forward(self, clips: list[Tensor], labels: list[Tensor]) -> Tensor:
        return self.task.loss(clips, labels, self.sentences)


def gradients(module: nn.Module) -> Gradients:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def share_of(rank: int, world: int, micro_batches: int) -> list[Tensor]:
    """Indices of the videos in a process's micro-batches; over all processes, micro-batch m is the m-th part."""
    return list(torch.arange(VIDEOS).view(micro_batches, world, -1)[:, rank])


def train_a_step(folder: Path, matcher: str) -> None:
    rank, world = distributed.get_rank(), distributed.get_world_size()
    module = Step(matcher)
    module.task.setup("fit")
    parallel = DistributedDataParallel(module)
    clips, labels = world_of_videos()
    found: dict[str, tuple[float, Gradients]] = {}
    for name, count in (("at once", 1), ("gradient cache", 2)):
        parallel.zero_grad()
        parts = share_of(rank, world, count)
        loss = parallel([clips[part] for part in parts], [labels[part] for part in parts])
        loss.backward()
        found[name] = loss.item(), gradients(module)
    parallel.zero_grad()
    losses = []
    for m, part in enumerate(share_of(rank, world, 2)):  # as the trainer accumulates: only the last one synchronizes
        parallel.require_backward_grad_sync = m == 1
        loss = parallel([clips[part]], [labels[part]])
        (loss / 2).backward()
        losses.append(loss.item())
    found["accumulated"] = sum(losses) / 2, gradients(module)
    torch.save(found, folder / f"found-{rank}.pt")


def relative_error(found: Gradients, expected: Gradients) -> float:
    """Largest relative error over all parameters."""
    assert found.keys() == expected.keys()
    total = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    errors = {}
    for name, gradient in expected.items():
        if name.endswith("k_proj.bias"):  # it cancels in the softmax: its gradient is 0 up to rounding
            assert found[name].norm() < 1e-6 * total
        else:
            errors[name] = float((found[name] - gradient).norm() / gradient.norm())
    assert "task.video_clip.encoder.model.logit_scale" in errors
    return max(errors.values())


def one_process(matcher: str) -> dict[str, tuple[float, Gradients]]:
    module = Step(matcher)
    clips, labels = world_of_videos()
    loss = module([clips], [labels])
    loss.backward()
    expected = {"at once": (loss.item(), gradients(module)), "gradient cache": (loss.item(), gradients(module))}
    module.zero_grad()
    halves = [module([c], [y]) / 2 for c, y in zip(clips.chunk(2), labels.chunk(2), strict=True)]
    loss = torch.stack(halves).sum()
    loss.backward()
    return {**expected, "accumulated": (loss.item(), gradients(module))}


def compare(folder: Path, world: int, matcher: str) -> None:
    in_processes(world, train_a_step, folder, matcher)
    expected = one_process(matcher)
    for rank in range(world):
        found = torch.load(folder / f"found-{rank}.pt", weights_only=True)
        for name, (loss, wanted) in expected.items():
            assert found[name][0] == pytest.approx(loss, rel=1e-5), name
            error = relative_error(found[name][1], wanted)
            assert error < 3e-5, (name, error)  # rounding differs with the number of threads
    # the two kinds of contrast differ, so that confusing them would be noticed
    assert relative_error(expected["at once"][1], expected["accumulated"][1]) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("matcher", ["category", "solver"])
def test_processes_have_the_loss_and_gradients_of_one(tmp_path: Path, world: int, matcher: str) -> None:
    compare(tmp_path, world, matcher)


@pytest.mark.slow  # every process imports PyTorch and Lightning for seconds
@pytest.mark.parametrize("world", [2, 3])
def test_gathered_rows_have_exact_gradients(tmp_path: Path, world: int) -> None:
    in_processes(world, check_gather, tmp_path)


def test_gradient_cache_equals_the_large_batch_in_one_process() -> None:
    module = Step("solver")
    clips, labels = world_of_videos()
    module([clips], [labels]).backward()
    expected = gradients(module)
    for sizes in ([4, 4, 4], [1] * VIDEOS, [7, 5]):
        module.zero_grad()
        module(list(clips.split(sizes)), list(labels.split(sizes))).backward()
        assert relative_error(gradients(module), expected) < 1e-5


def test_the_second_forward_pass_draws_the_same_dropout() -> None:
    module = Step("solver")
    for tower in (module.task.video_clip.encoder.model.vision_model, module.task.video_clip.encoder.model.text_model):
        for layer in tower.encoder.layers:
            layer.self_attn.dropout = 0.2
    clips, labels = world_of_videos()
    parts = list(clips.split(4)), list(labels.split(4))
    found = []
    for _ in range(2):
        module.zero_grad()
        torch.manual_seed(3)
        loss = module(*parts)
        loss.backward()
        found.append(gradients(module)["task.video_clip.encoder.model.visual_projection.weight"])
    assert torch.equal(*found)
    # the gradient matches a finite difference of the loss with the same dropout
    weight = module.task.video_clip.encoder.model.visual_projection.weight
    step = 1e-3 * found[0] / found[0].norm()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step
        torch.manual_seed(3)
        values.append(module(*parts).item())
        with torch.no_grad():
            weight -= sign * step
    assert (values[0] - values[1]) / 2e-3 == pytest.approx(float(found[0].norm()), rel=0.02)
