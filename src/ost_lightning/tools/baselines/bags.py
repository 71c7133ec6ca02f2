"""`ost bags`: bags of words for training on videos without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.tools.options import output_file, output_folder, processes
from ost_lightning.tools.problem_table import write_problems
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.recognition.name_matching import NameMatch
    from ost_lightning.video.annotations.any_list import ListedVideo

BAGS: Final = "bags.jsonl"
TRAINING_LIST: Final = "train.csv"
UNREADABLE: Final = "unreadable.csv"


def match(
    list: Path,
    output: Path,
    root: str = ".",
    labels: str = "kinetics400",
    weights: str = "openai/clip-vit-base-patch16",
    templates: str = "maxi",
    keep: float = 0.9,
    frames: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    batch_size: int = 16,
) -> None:
    """Finds the class name that fits each video of an unlabeled list best, and keeps the videos that fit well.

    Writes `bags.jsonl`, which `ost bags add` adds words to, and `train.csv`, the list of the kept videos for training.
    Labels in the list are not read. Unreadable videos are left out and named in `unreadable.csv`; the exit status is
    then 1.

    Args:
        list: List of videos: one path per line, or a table (CSV, Parquet) with a column `path`. Start and end times in
            a table are respected.
        output: Folder for the files.
        root: Base of the list's paths: a folder of videos, frame folders or tar shards, or a URL.
        labels: Name of a label space, or its folder, whose class names are the dictionary.
        weights: Hub id, `tiny`, or folder in HF format.
        templates: Sentence templates, as the name of a file in `prompts/sentences` or the path of a YAML file.
        keep: Share of the videos with the highest similarity to their best name, more than 0 and at most 1.
        frames: Number of frames per video; that of the weights' folder, or 16, if not given.
        device: Device for computation, or several (`cuda:0,cuda:1`); a GPU if available and otherwise the CPU, if not
            given.
        workers: Threads that read videos; the number of usable cores if not given.
        batch_size: Largest number of videos that are encoded together.
    """
    if not 0 < keep <= 1:
        raise UserError(f"--keep is {keep}: expected a share of the videos, more than 0 and at most 1, such as 0.9.")
    if batch_size < 1:
        raise UserError(f"--batch_size is {batch_size}: expected at least 1.")
    threads, folder = processes(workers), output_folder(output)
    from ost_lightning.datamodules.locate import Finder
    from ost_lightning.models import weights_digest
    from ost_lightning.recognition import Unreadable
    from ost_lightning.recognition.name_matching import NameMatcher, plain_clip
    from ost_lightning.text import LabelSpace, VideoBag, WordBags
    from ost_lightning.video import VideoRecord
    from ost_lightning.video.annotations.any_list import read_files, write_list

    listed = {_id(video): video for video in read_files(list)}
    dictionary, finder = LabelSpace.load(labels), Finder(root)
    records = [
        VideoRecord(finder.address(video.path), 0, id_, video.start, video.end, video.frames)
        for id_, video in listed.items()
    ]
    model = plain_clip(weights, templates, frames)
    digest, matcher = weights_digest(model.video_clip), NameMatcher(model, dictionary, device)
    matches: dict[str, NameMatch] = {}
    unreadable: dict[str, str] = {}
    for found in tqdm(matcher.stream(records, threads=threads, batch_size=batch_size), total=len(records)):
        if isinstance(found, Unreadable):
            unreadable[found.video] = found.reason
        else:
            matches[found.id] = found
    write_problems(folder / UNREADABLE, ("id", "reason"), unreadable.items())
    if not matches:
        raise UserError(f"None of the {counted(len(records), 'video')} can be read: {folder / UNREADABLE} says why.")
    kept = _best(tuple(matches.values()), keep)
    bags = WordBags(
        {
            id_: VideoBag(dictionary.names[match.label], cosine=round(match.cosine, 6), kept=id_ in kept)
            for id_, match in matches.items()
        },
        sources={
            "match": {
                "labels": labels,
                "weights": weights,
                "weights_digest": digest,
                "templates": templates,
                "frames": model.clips.frames,
                "keep": keep,
                "videos": len(matches),
                "kept": len(kept),
                "lowest_cosine": round(min(matches[id_].cosine for id_ in kept), 6),
            }
        },
    )
    bags.save(folder / BAGS)
    chosen = [_labeled(listed[id_], bags.videos[id_].name) for id_ in matches if id_ in kept]
    write_list(chosen, folder / TRAINING_LIST)
    classes = counted(len({video.label for video in chosen}), "class", "classes")
    print(f"{counted(len(chosen), 'video')} of {len(matches):,} kept, of {classes}: {folder / TRAINING_LIST}")
    if unreadable:
        raise UserError(f"Videos that could not be read: {len(unreadable)}; {folder / UNREADABLE} names them.")


def add(bags: Path, classes: Path | None = None, videos: Path | None = None, output: Path | None = None) -> None:
    """Adds words of classes, of videos, or both, to bags that `ost bags match` wrote.

    Words of the same kind that were added before are replaced. Class names are taken out of bags.

    Args:
        bags: File of bags.
        classes: Words of classes: folder of a label space whose descriptors are the words, as `ost descriptors generate
            --prompts verbs` writes it; folder with one text file per class; or JSON with lists by class name.
        videos: Words of videos: JSON Lines with an `id` and either `words` or `captions`. Captions are used whole.
        output: File for the result; replaces the file of bags if not given.
    """
    if classes is None and videos is None:
        raise UserError("Nothing to add: give words of classes (--classes), of videos (--videos), or both.")
    target = output_file(output or bags)
    from ost_lightning.text.word_bags import WordBags
    from ost_lightning.text.word_sources import read_class_words, read_video_words

    found = WordBags.load(bags)
    if classes is not None:
        found = found.add_class_words(read_class_words(classes), str(classes))
    if videos is not None:
        found = found.add_video_words(read_video_words(videos), str(videos))
    found.save(target)
    sizes = [len(found.words(id_)) for id_, bag in found.videos.items() if bag.kept]
    print(
        f"{counted(len(sizes), 'bag')} with {sum(sizes) / len(sizes):.1f} words on average, "
        f"{sum(not size for size in sizes):,} of them empty: {target}"
    )


def _id(video: "ListedVideo") -> str:
    """Returns the id of the video's record in the list that is written."""
    from ost_lightning.video import VideoRecord
    from ost_lightning.video.annotations.tables import default_id

    return VideoRecord(video.path, 0, video.id or default_id(video.path, video.start, video.end)).id


def _labeled(video: "ListedVideo", name: str) -> "ListedVideo":
    from dataclasses import replace

    return replace(video, label=name)


def _best(matches: "Sequence[NameMatch]", keep: float) -> frozenset[str]:
    """Returns the ids of the share of videos with the highest similarity, at least one."""
    ranked = sorted(matches, key=lambda match: match.cosine, reverse=True)
    return frozenset(match.id for match in ranked[: max(1, round(keep * len(ranked)))])
