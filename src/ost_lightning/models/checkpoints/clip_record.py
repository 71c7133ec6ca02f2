"""Record in a checkpoint of the preprocessing that its weights were trained with: frames, sizes, pixel statistics."""

from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, replace
from typing import Any, Final

from ost_lightning.models.checkpoints.run_folders import CONFIG_IN_CHECKPOINT, parsed_config
from ost_lightning.models.encoders import NAMED_STATISTICS, Preprocessing
from ost_lightning.renamed_settings import with_new_names

_KEY: Final = "ost_clips"


def write_clip_record(checkpoint: MutableMapping[str, Any], trained_with: Preprocessing | None) -> None:
    """Adds a preprocessing to the content of a checkpoint, if it is known."""
    if trained_with is not None:
        checkpoint[_KEY] = asdict(trained_with)


def read_clip_record(checkpoint: Mapping[str, Any], own: Preprocessing) -> Preprocessing | None:
    """Returns the preprocessing that the weights of a checkpoint were trained with; None if unknown.

    Args:
        checkpoint: Content of the checkpoint. Those of earlier versions only have the run's configuration.
        own: Preprocessing of the pre-trained model, for settings that the configuration left unset.
    """
    if (record := checkpoint.get(_KEY)) is not None:
        return Preprocessing(**record)
    if (config := checkpoint.get(CONFIG_IN_CHECKPOINT)) is None:
        return None
    settings = with_new_names(parsed_config(config))
    clips = (settings["data"].get("init_args") or {}).get("clips") or {}
    if clips.get("frames") is None:
        return None
    framing = clips.get("framing") or "crop"
    found = replace(
        own,
        resize="squash" if framing == "squash" else "shortest_side",
        filter=clips.get("resize") or own.filter,
        frames=clips["frames"],
        short_side=clips.get("short_side"),
        sample_aspect=clips.get("sample_aspect"),
    )
    video_clip = settings["model"]["init_args"].get("video_clip") or {}
    statistics = (video_clip.get("init_args") or {}).get("pixel_statistics")
    if isinstance(statistics, str):
        return replace(found, mean=NAMED_STATISTICS[statistics].mean, std=NAMED_STATISTICS[statistics].std)  # type: ignore[index]
    if statistics is not None:
        return replace(found, mean=tuple(statistics["mean"]), std=tuple(statistics["std"]))
    return found
