"""Settings for loading clips, shared by all data modules."""

from dataclasses import dataclass
from typing import Literal

from ost_lightning.evaluation import check_ranges


@dataclass(frozen=True)
class LoadingSettings:
    """Settings for loading clips.

    Attributes:
        global_batch_size: Number of videos per optimizer step, over all devices and accumulation steps. None for 32,
            or about as many as there are training videos if there are fewer.
        max_videos_per_device: Largest number of videos per device and forward pass in training; larger batches are
            accumulated. None for no limit.
        evaluation_batch_size: Number of videos per device and batch in evaluation.
        workers: Number of loading processes per device; None for one per core, but at most 4.
        start_method: Start method of the loading processes; None for the platform's default.
        read_timeout: Time limit for reading one video, in seconds; a video that takes longer counts as unreadable.
        seed: Seed for order and augmentation; None follows `seed_everything`.
        max_replacements: Number of other videos of the class to try in place of an unreadable one in training.
        max_undecodable: Number of unreadable videos beyond which training stops.
        on_decode_error: Policy for unreadable videos in evaluation: `stop`, or `count` them as wrong and report them.
        embedding_cache_gigabytes: Size of the disk cache of frame embeddings, in GB; 0 for no cache. Test and
            prediction use it, so that the same weights encode no video twice. It is stored in `$OST_CACHE`.
        on_missing: Policy for listed videos that do not exist: `stop` before the run begins, or `skip` them.

    Raises:
        UserError: If a number is outside its range.
    """

    global_batch_size: int | None = 256
    max_videos_per_device: int | None = None
    evaluation_batch_size: int = 8
    workers: int | None = None
    start_method: Literal["fork", "spawn", "forkserver"] | None = None
    read_timeout: float = 120.0
    seed: int | None = None
    max_replacements: int = 10
    max_undecodable: int = 50
    on_decode_error: Literal["stop", "count"] = "stop"
    embedding_cache_gigabytes: float = 0.0
    on_missing: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        sizes = ("global_batch_size", "max_videos_per_device", "evaluation_batch_size")
        check_ranges("loading", self, lambda value: value >= 1, "at least 1", sizes)
        check_ranges("loading", self, lambda value: value > 0, "more than 0 seconds", ("read_timeout",))
        counts = ("workers", "max_replacements", "max_undecodable", "embedding_cache_gigabytes")
        check_ranges("loading", self, lambda value: value >= 0, "0 or more", counts)
