"""Miniatures of the six data sets in their publishers' layouts: short real videos and real annotation files."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ost_lightning.text import LabelSpace
from tests.videos import write_video


def tiny_video(path: Path, seed: int, codec: str = "libx264") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(path.suffix, seed, codec))


@cache
def _encoded(suffix: str, seed: int, codec: str) -> bytes:
    """Content of a file, encoded once per test run."""
    with TemporaryDirectory() as folder:
        return write_video(Path(folder) / f"video{suffix}", 6, width=56, height=54, seed=seed, codec=codec).read_bytes()


def kinetics(root: Path, classes: tuple[str, ...], *, by_class: bool = True, videos: int = 2) -> Path:
    """Writes `train` and `val`, with or without class folders, and the publisher's CSV files."""
    for part, name in (("train", "train"), ("val", "validate")):
        rows = ["label,youtube_id,time_start,time_end,split"]
        for label, class_ in enumerate(classes):
            for k in range(videos):
                youtube = f"{part[:1]}{label:04d}_{k:05d}"
                rows.append(f"{class_},{youtube},{k},{k + 10},{name}")
                folder = root / part / class_ if by_class else root / part
                tiny_video(folder / f"{youtube}_{k:06d}_{k + 10:06d}.mp4", label)
        write(root / "annotations" / f"{name}.csv", "\n".join(rows) + "\n")
    return root


def ucf101(root: Path, classes: tuple[str, ...], videos: int = 2) -> Path:
    """Writes `UCF-101/Class/v_Class_g01_c01.avi` and `ucfTrainTestlist`."""
    lists = root / "ucfTrainTestlist"
    write(lists / "classInd.txt", "".join(f"{k} {name}\n" for k, name in enumerate(classes, start=1)))
    for split in (1, 2, 3):
        train, test = [], []
        for number, name in enumerate(classes, start=1):
            for k in range(2 * videos):
                path = f"{name}/v_{name}_g{k + 1:02d}_c01.avi"
                if split == 1:
                    tiny_video(root / "UCF-101" / path, number, "mpeg4")
                (train if (k + split) % 2 else test).append((path, number))
        write(lists / f"trainlist{split:02d}.txt", "".join(f"{path} {number}\n" for path, number in train))
        write(lists / f"testlist{split:02d}.txt", "".join(f"{path}\n" for path, _ in test))
    return root


def hmdb51(root: Path, classes: tuple[str, ...], videos: int = 2) -> Path:
    """Writes `class/name_class_suffix.avi` and `testTrainMulti_7030_splits`."""
    for label, name in enumerate(classes):
        names = [f"Film_{k}_{name}_f_cm_np1_ba_med_{k}.avi" for k in range(2 * videos + 1)]
        for file in names[:-1]:  # the unused one does not even exist
            tiny_video(root / name / file, label, "mpeg4")
        for split in (1, 2, 3):
            uses = [str(1 + (k + split) % 2) for k in range(2 * videos)] + ["0"]
            lines = "".join(f"{file} {use} \n" for file, use in zip(names, uses, strict=True))
            write(root / "testTrainMulti_7030_splits" / f"{name}_test_split{split}.txt", lines)
    return root


def ssv2(root: Path, templates: tuple[str, ...], numbers: dict[str, int], videos: int = 2) -> Path:
    """Writes `20bn-something-something-v2/1.webm` and the three JSON files."""
    next_id = 1
    for part in ("train", "validation"):
        entries = []
        for label, template in enumerate(templates):
            for _ in range(videos):
                tiny_video(root / "20bn-something-something-v2" / f"{next_id}.webm", label, "libvpx-vp9")
                entries.append({"id": str(next_id), "label": "with a spoon", "template": template, "placeholders": []})
                next_id += 1
        write(root / f"something-something-v2-{part}.json", json.dumps(entries))
    write(root / "something-something-v2-labels.json", json.dumps({name: str(k) for name, k in numbers.items()}))
    return root


def activitynet(root: Path, classes: tuple[str, ...], videos: int = 2) -> Path:
    """Writes `train/v_id.mp4`, `val/v_id.mp4` and one JSON file, without the publisher's test videos."""
    database = {"hidden00000": {"subset": "testing", "duration": 1.0, "annotations": []}}
    for subset, folder in (("training", "train"), ("validation", "val")):
        for label, name in enumerate(classes):
            for k in range(videos):
                id_ = f"{subset[:1]}{label:05d}_{k:04d}"
                tiny_video(root / folder / f"v_{id_}.mp4", label)
                segments = [{"label": name, "segment": [0.0, 0.1]}, {"label": name, "segment": [0.1, 0.2]}]
                database[id_] = {"subset": subset, "duration": 0.24, "annotations": segments}
    write(root / "activity_net.v1-3.min.json", json.dumps({"version": "VERSION 1.3", "database": database}))
    return root


def label_space(folder: Path, source: str, names: tuple[str, ...]) -> Path:
    """Selects some classes of a label space that comes with the package."""
    write(folder / "selection.txt", f"from {source}\n" + "".join(f"{name}\n" for name in names))
    return folder


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


HMDB = ("brush_hair", "kick", "kick_ball")
UCF = ("ApplyEyeMakeup", "HandstandPushups")
SSV2 = ("Pushing [something] from left to right", "Showing that [something] is empty")
SSV2_NAMES = ("Pushing something from left to right", "Showing that something is empty")


def kinetics400_data() -> tuple[str, list[str]]:
    kinetics(Path("data"), ("archery", "yoga"))
    label_space(Path("few"), "kinetics400", ("yoga", "archery"))
    return "Kinetics400", ["few"]


def kinetics600_data() -> tuple[str, list[str]]:
    kinetics(Path("data"), ("archery", "winking"), by_class=False)
    label_space(Path("few"), "kinetics600", ("winking", "archery"))
    return "Kinetics600", ["few"]


def ucf101_data() -> tuple[str, list[str]]:
    ucf101(Path("data"), UCF)
    label_space(Path("few"), "ucf101", ("handstand pushups", "apply eye makeup"))
    return "UCF101", [f"few-split{k}" for k in (1, 2, 3)]


def hmdb51_data() -> tuple[str, list[str]]:
    hmdb51(Path("data"), HMDB)
    label_space(Path("few"), "hmdb51", ("kick ball", "kick", "brush hair"))
    return "HMDB51", [f"few-split{k}" for k in (1, 2, 3)]


def ssv2_data() -> tuple[str, list[str]]:
    ssv2(Path("data"), SSV2, {name: LabelSpace.load("ssv2").names.index(name) for name in SSV2_NAMES})
    label_space(Path("few"), "ssv2", SSV2_NAMES)
    return "SomethingSomethingV2", ["few"]


def activitynet_data() -> tuple[str, list[str]]:
    activitynet(Path("data"), ("Mooping floor", "Archery"))
    label_space(Path("few"), "activitynet", ("Archery", "Mopping floor"))
    return "ActivityNet", ["few"]
