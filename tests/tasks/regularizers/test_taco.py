"""Agreement with the objective, teacher, averages and schedule of the released TACO."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.matching import CategoryName, relative_structure, structure_distillation
from ost_lightning.models import MeanPooling, VideoCLIP, add_to_average
from ost_lightning.tasks import OptimizerSettings
from ost_lightning.tasks.optimizer import optimizer_and_schedule
from ost_lightning.tasks.regularizers import ResidualProjection, Teacher

VECTORS = load_file(Path(__file__).with_name("taco.safetensors"))
PROJECTION = {
    "inner.weight": "linear_A.weight",
    "inner.bias": "linear_A.bias",
    "outer.weight": "linear_B.weight",
    "outer.bias": "linear_B.bias",
}


def part(prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in VECTORS.items() if name.startswith(prefix)}


def projection() -> ResidualProjection:
    found = ResidualProjection(24, 48)
    found.load_state_dict({ours: VECTORS[f"in.proj.{theirs}"] for ours, theirs in PROJECTION.items()})
    return found


def objective(given: Mapping[str, Tensor], project: nn.Module, per_frame: bool) -> dict[str, Tensor]:
    """Computes the objective on given embeddings, with the projection before or after the mean over frames."""
    frames = given["student_frames"]
    video = project(frames).mean(1) if per_frame else project(frames.mean(1))
    video, teacher = F.normalize(video, dim=-1), F.normalize(given["teacher_frames"].mean(1), dim=-1)
    scale, text = given["log_scale"].exp(), F.normalize(given["student_text"], dim=-1)
    cosine = CategoryName()(video[:, None], text[:, None])
    student_structure = relative_structure(video, text, given["anchors"])
    structure = relative_structure(teacher, given["teacher_text"], given["anchors"])
    cross_entropy = F.cross_entropy(scale * cosine, VECTORS["in.labels"].long())
    divergence = structure_distillation(student_structure, structure, scale)
    return {
        "cosine_projected": cosine,
        "structure_student": student_structure,
        "structure_teacher": structure,
        "loss_ce": cross_entropy,
        "loss_kl": divergence,
        "loss": cross_entropy + 0.4 * divergence,
    }


@pytest.mark.parametrize("per_frame", [False, True])
def test_objective_and_gradients(per_frame: bool) -> None:
    given = part("in.")
    trained = {name: given[name].requires_grad_() for name in ("student_frames", "student_text", "log_scale")}
    project = projection()
    found = objective(given, project, per_frame)
    for name, expected in part("out.").items():
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-5)
    weights = trained | {f"proj.{PROJECTION[name]}": weight for name, weight in project.named_parameters()}
    for loss, prefix in (("loss", "grad.loss."), ("loss_kl", "grad.kl.")):
        gradients = torch.autograd.grad(found[loss], list(weights.values()), retain_graph=True)
        for name, gradient in zip(weights, gradients, strict=True):
            expected = VECTORS[f"{prefix}{name}"]
            assert float((gradient - expected).norm()) <= 1e-4 * float(expected.norm()), (prefix, name)


def test_the_released_scale_also_has_the_gradient_of_the_target() -> None:
    scale = VECTORS["in.log_scale"].clone().requires_grad_()
    structures = VECTORS["out.structure_student"], VECTORS["out.structure_teacher"]
    for detached in (False, True):
        loss = structure_distillation(*structures, scale.exp(), detach_target_scale=detached)
        (gradient,) = torch.autograd.grad(loss, scale)
        released = float(VECTORS["grad.kl.log_scale"])
        assert (float(gradient) == pytest.approx(released, rel=1e-4)) != detached


def test_teacher_moves_as_released() -> None:
    student = VideoCLIP("tiny")
    weight = student.encoder.model.visual_projection.weight
    with torch.no_grad():
        weight.view(-1)[:7] = VECTORS["ema.teacher_before"]
    teacher = Teacher(student, 0.9998)
    for current, expected in zip(VECTORS["ema.student_each_step"], VECTORS["ema.teacher_each_step"], strict=True):
        with torch.no_grad():
            weight.view(-1)[:7] = current
        teacher.follow(student)
        found = teacher.video_clip.encoder.model.visual_projection.weight.view(-1)[:7]
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_averages_are_those_of_the_released_code() -> None:
    average: dict[str, Tensor] = {}
    sets = [VECTORS["average.clip"], *VECTORS["average.epochs"]]
    for count, weights in enumerate(sets):
        add_to_average(average, {"weight": weights}, {"weight": count})
        if count:
            torch.testing.assert_close(
                average["weight"], VECTORS["average.after_each_epoch"][count - 1], rtol=1e-6, atol=1e-6
            )


def test_rates_are_those_of_the_released_schedule() -> None:
    epochs, batches = 15, 40
    settings = OptimizerSettings(
        learning_rate=3.75e-6,
        new_module_lr_multiplier=1 / 0.075,
        warmup_fraction=5 / 15,
        min_lr_fraction=0,
        hold_rate_for=10,
        weight_decay_on_all=True,
    )
    encoder, projected = VideoCLIP("tiny").encoder, nn.Linear(2, 2)
    named = [("towers", next(encoder.parameters())), ("projection", projected.weight)]
    found = optimizer_and_schedule(named, settings, epochs * batches, encoder, batches)
    assert isinstance(found, dict)
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]  # type: ignore[typeddict-item, index]
    rates = []
    for _ in range(epochs * batches):
        rates.append([group["lr"] for group in reversed(optimizer.param_groups)])
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(torch.tensor(rates), VECTORS["schedule.rates"], rtol=1e-6, atol=1e-11)


def test_scores_of_a_test_are_means_of_cosines_over_views() -> None:
    frames = VECTORS["test.frames"]
    pooled = F.normalize(MeanPooling(24)(frames.flatten(0, 1)), dim=-1)
    names = F.normalize(VECTORS["test.template_text"].mean(0), dim=-1)
    torch.testing.assert_close(names, VECTORS["test.text"], rtol=1e-5, atol=1e-6)
    scores = 100 * CategoryName()(pooled, names[:, None]).unflatten(0, (5, 3)).mean(1)
    torch.testing.assert_close(scores, VECTORS["test.scores"], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scores.softmax(-1), VECTORS["test.probabilities"], rtol=1e-4, atol=1e-6)
