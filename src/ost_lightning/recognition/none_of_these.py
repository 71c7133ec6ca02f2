"""A level for "none of these" that needs no labeled videos: absolute probabilities below it."""

from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP


def check_none_below(level: float | None, video_clip: VideoCLIP) -> float | None:
    """Returns the level if probabilities can be compared with it.

    Args:
        level: Probability below which no class counts as shown; None for no level.
        video_clip: Model whose probabilities are compared.

    Raises:
        UserError: If the level is not between 0 and 1, or the probabilities are relative: those of a softmax say which
            class fits best, and add up to 1 for every video.
    """
    if level is None:
        return None
    if not 0 < level < 1:
        raise UserError(f"none_below is {level}: expected a probability between 0 and 1, such as 0.01.")
    if video_clip.scores != "sigmoid":
        advice = (
            "add scores sigmoid"
            if video_clip.encoder.logit_bias is not None
            else f"{video_clip.pretrained} has none, so calibrate with labeled videos, or use an encoder such as SigLIP"
        )
        raise UserError(
            f"none_below needs a probability for each class by itself (scores sigmoid), but scores are softmax, which "
            f"add up to 1 for every video: {advice}."
        )
    return level
