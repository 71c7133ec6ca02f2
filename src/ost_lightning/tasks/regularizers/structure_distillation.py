"""Distillation of the structure that the embeddings had before training."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.matching import random_directions, relative_structure, structure_distillation
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings, VideoCLIP
from ost_lightning.tasks.gathering import process_rank
from ost_lightning.tasks.regularizers.base import Regularizer, TrainingStep
from ost_lightning.tasks.regularizers.projection import ResidualProjection
from ost_lightning.tasks.regularizers.teacher import Teacher


class StructureDistillation(Regularizer):
    """Relative structure distillation, and a projection that is dropped after training (TACO; Zhu et al., 2026).

    Videos and texts keep their relation to random directions, drawn anew in every step, as a teacher sees it. The
    student's frames pass through a `ResidualProjection` in training, also for the task's own loss. Evaluations don't
    use it.

    A video is the mean of its frames' embeddings, and a class the mean of its sentences' embeddings, each normalized.
    With `MeanPooling` and one sentence per class this is TACO. With any other matcher, such as the OD Solver, the
    task's own loss compares single frames and sentences, while the structure is that of these means.

    Args:
        weight: Factor of the divergence in the sum of all losses.
        directions: Number of random directions per step, M.
        teacher: Model that is kept to: a moving average of the weights (`ema`), or the initial weights (`frozen`).
        momentum: Share of its weights that the moving average keeps at each step, 0 to 1.
        projection_width: Width between the two maps of the projection, as a multiple of the embeddings' width; 0 for no
            projection.
        detach_target_scale: Whether the logit scale is a constant in the teacher's distribution. In the released code
            it isn't.
        seed: Seed for the directions; None follows `seed_everything`.

    Raises:
        UserError: If a number is out of range.
    """

    name: ClassVar[str] = "structure_distillation"

    def __init__(
        self,
        weight: float = 0.4,
        directions: int = 200,
        teacher: Literal["ema", "frozen"] = "ema",
        momentum: float = 0.9998,
        projection_width: int = 2,
        detach_target_scale: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(weight, seed)
        if directions < 1 or projection_width < 0:
            raise UserError(
                f"StructureDistillation has {directions} directions and a projection_width of {projection_width}: "
                "expected at least 1 direction, and a width of at least 0."
            )
        if not 0 <= momentum < 1:
            raise UserError(
                f"StructureDistillation.momentum is {momentum}: expected a share of 0 or more, below 1. For a teacher "
                "that stays as it is, set `teacher` to frozen."
            )
        self.directions, self.teacher, self.momentum = directions, teacher, momentum
        self.projection_width, self.detach_target_scale = projection_width, detach_target_scale
        self.projection: ResidualProjection | None = None
        self._teacher: Teacher | None = None
        self._followed = -1

    def build(self, video_clip: VideoCLIP) -> None:
        """Creates the projection.

        Raises:
            UserError: If texts depend on the video, so that there is no structure of both.
        """
        if not video_clip.encoder.unit_length:
            raise UserError(
                f"StructureDistillation relates videos and texts, but the texts of {video_clip.pretrained} depend on "
                "the video: remove it from model.regularizers."
            )
        if self.projection_width:
            width = video_clip.embedding_dim
            self.projection = ResidualProjection(width, self.projection_width * width)

    def prepare(self, video_clip: VideoCLIP, whole_steps: bool) -> None:
        """Copies the model as the teacher."""
        self._teacher = Teacher(video_clip, self.momentum if self.teacher == "ema" else 1.0)
        self._followed = -1

    def release(self) -> None:
        """Frees the teacher."""
        self._teacher = None

    def project(self, embedded: Tensor) -> Tensor:
        """Projects embeddings (B, T, d) of the student."""
        return embedded if self.projection is None else self.projection(embedded)

    def forward(self, step: TrainingStep) -> Tensor:
        """Returns the divergence of the student's structure from the teacher's, a scalar."""
        teacher = self._taught(step)
        with torch.no_grad():
            frames = torch.cat([teacher.encode_frames(part) for part in step.clips])
            trained = step.video_clip.has_gradients("text")
            texts = step.encode_texts(teacher) if trained else step.texts
        generator = self.generator(process_rank(), step.number, step.part)
        directions = random_directions(self.directions, frames.shape[-1], generator).to(frames.device)
        # as for similarities, 16 bits are too few
        with torch.autocast(frames.device.type, enabled=False):
            student_structure = relative_structure(_videos(step.frames), _classes(step.texts), directions)
            structure = relative_structure(_videos(frames), _classes(texts), directions)
            return structure_distillation(
                student_structure,
                structure.detach(),
                _scale(step.video_clip),
                detach_target_scale=self.detach_target_scale,
            )

    def training_state(self) -> dict[str, Any]:
        """Returns the weights of a moving teacher; a frozen one has those that the training starts with."""
        if self._teacher is None or not self._teacher.moves:
            return {}
        return {"teacher": self._teacher.weights()}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continues with the teacher of a checkpoint."""
        if self._teacher is not None and self._teacher.moves:
            self._teacher.load(state["teacher"])

    def _taught(self, step: TrainingStep) -> VideoCLIP:
        """Returns the teacher, which follows the student once per optimizer step, before its update."""
        if self._teacher is None:
            raise RuntimeError("StructureDistillation has no teacher: start training with Trainer.fit")
        self._teacher.video_clip.to(step.frames.device)
        if step.number != self._followed:
            self._teacher.follow(step.video_clip)
            self._followed = step.number
        return self._teacher.video_clip


def _videos(frames: FrameEmbeddings) -> Tensor:
    """Maps frames (B, T, d) to unit vectors (B, d)."""
    return F.normalize(frames.float().mean(1), dim=-1)


def _classes(texts: DescriptorEmbeddings) -> Tensor:
    """Maps sentences, kind -> (K, N, d), to unit vectors (K, d)."""
    return F.normalize(torch.cat([rows.float() for rows in texts.values()], dim=1).mean(1), dim=-1)


def _scale(video_clip: VideoCLIP) -> Tensor:
    """Returns the inverse temperature of the logits, with gradients, whatever else the encoder adds to them."""
    one = torch.ones((), device=video_clip.encoder.device)
    return video_clip.similarity_to_logits(one) - video_clip.similarity_to_logits(torch.zeros_like(one))
