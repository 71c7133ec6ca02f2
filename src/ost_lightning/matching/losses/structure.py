"""Structure of an embedding space: how videos and texts relate to each other through a set of directions."""

import torch
from torch import Tensor
from torch.nn import functional as F


def random_directions(count: int, width: int, generator: torch.Generator) -> Tensor:
    """Draws unit vectors that are uniform on the sphere.

    Args:
        count: Number of directions, M.
        width: d, the width of the embeddings.
        generator: Random number generator of the host.

    Returns:
        fp32 (M, d), L2-normalized.
    """
    return F.normalize(torch.randn(count, width, generator=generator), dim=-1)


def relative_structure(videos: Tensor, texts: Tensor, directions: Tensor) -> Tensor:
    r"""Relates videos and texts through directions A (TACO; Zhu et al., NeurIPS 2026).

    .. math:: R_{ik} = \sum_m (z_i \cdot A_m)(A_m \cdot u_k)

    For M uniform directions of width d, its mean is the cosine times M / d.

    Args:
        videos: z, (B, d), L2-normalized.
        texts: u, (K, d), L2-normalized.
        directions: A, (M, d), L2-normalized.

    Returns:
        R, (B, K).
    """
    return (videos @ directions.T) @ (texts @ directions.T).T


def structure_distillation(
    student: Tensor, teacher: Tensor, scale: Tensor, *, detach_target_scale: bool = False
) -> Tensor:
    r"""Divergence of a student's structure from a teacher's, the mean over videos (TACO).

    .. math:: \mathrm{KL}(\mathrm{softmax}_k(s R') \,\|\, \mathrm{softmax}_k(s R))

    Args:
        student: R, the structure of the model that is trained, (B, K).
        teacher: R', the structure of its teacher with the same directions, (B, K).
        scale: s, the student's inverse temperature, a scalar.
        detach_target_scale: Whether the scale is a constant in the target. In the released code it isn't, so that its
            gradient also comes from the target.

    Returns:
        Divergence, a scalar >= 0.
    """
    target = (scale.detach() if detach_target_scale else scale) * teacher
    return F.kl_div(
        (scale * student).log_softmax(dim=-1), target.log_softmax(dim=-1), reduction="batchmean", log_target=True
    )
