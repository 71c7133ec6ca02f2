import csv
import json
import sys
from pathlib import Path

import pytest
import torch

from ost_lightning.cli import main
from ost_lightning.evaluation import ClipSettings, evaluation_clips
from ost_lightning.models import MeanPooling, VideoCLIP
from ost_lightning.text import LabelSpace, Templates, WordBags
from ost_lightning.video import SampleKey, VideoRecord
from tests.interruptions import Interrupted
from tests.small_experiments import QUIET
from tests.videos import write_video

MATCH = ["bags", "match", "--list=all.txt", "--root=videos", "--labels=names", "--weights=tiny", "--output=bags"]
NAMES = ("juggling balls", "riding horse", "swimming")


@pytest.fixture(autouse=True)
def _four_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    for folder in ("videos", "names"):
        Path(folder).mkdir()
    for k in range(4):
        write_video(Path(f"videos/{k}.mp4"), 10, width=54, height=54, seed=k)
    Path("all.txt").write_text("".join(f"{k}.mp4\n" for k in range(4)))
    Path("names/classes.txt").write_text("".join(f"{name}\n" for name in NAMES))


def written() -> tuple[WordBags, list[dict[str, str]]]:
    with Path("bags/train.csv").open(newline="") as file:
        return WordBags.load(Path("bags/bags.jsonl")), list(csv.DictReader(file))


@torch.no_grad()
def cosines() -> torch.Tensor:
    """Cosines of the videos and names by the definition: normalized mean of the frames, and normalized sentences."""
    clip = VideoCLIP("tiny", temporal_head=MeanPooling).eval()
    sentences = Templates.load("maxi").apply(LabelSpace(NAMES), ("name",), 0)
    names = clip.encode_sentences(clip.tokenize(sentences))["name"][:, 0]
    records = [VideoRecord(Path(f"videos/{k}.mp4"), 0, str(k)) for k in range(4)]
    clips = evaluation_clips(records, ClipSettings(frames=4).with_defaults_from(clip.preprocessing))
    frames = [clips[SampleKey(k, 0)].frames[0] for k in range(4)]
    return clip.encode_frames(torch.stack(frames))[:, 0] @ names.T


def test_videos_are_matched_with_the_best_name_and_filtered_by_their_cosine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*MATCH, "--keep=0.5", "--frames=4", "--workers=0"]) == 0
    bags, rows = written()
    expected, labels = cosines().max(1)
    assert [bag.name for bag in bags.videos.values()] == [NAMES[label] for label in labels]
    assert [bag.cosine for bag in bags.videos.values()] == pytest.approx(expected.tolist(), abs=1e-5)
    best = set(expected.topk(2).indices.tolist())
    assert [bag.kept for bag in bags.videos.values()] == [k in best for k in range(4)]
    assert rows == [{"path": f"{k}.mp4", "label": NAMES[labels[k]]} for k in sorted(best)]
    about = bags.sources["match"]
    assert (about["labels"], about["keep"], about["videos"], about["kept"]) == ("names", 0.5, 4, 2)
    assert "2 videos of 4 kept" in capsys.readouterr().out


def test_unreadable_videos_are_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos/1.mp4").write_bytes(b"no video")
    assert main([*MATCH, "--keep=1", "--frames=2", "--workers=2"]) == 1
    bags, rows = written()
    assert list(bags.videos) == ["0.mp4", "2.mp4", "3.mp4"] == [row["path"] for row in rows]
    assert "bags/unreadable.csv" in capsys.readouterr().err
    assert "1.mp4" in Path("bags/unreadable.csv").read_text()


def test_parts_of_a_video_are_matched_one_by_one() -> None:
    Path("all.csv").write_text("path,start,end\n0.mp4,0,0.2\n0.mp4,0.2,0.4\n")
    options = [option.replace("all.txt", "all.csv") for option in MATCH]
    assert main([*options, "--keep=1", "--frames=2", "--workers=0"]) == 0
    bags, rows = written()
    assert list(bags.videos) == ["0.mp4@0-0.2", "0.mp4@0.2-0.4"]
    assert [(row["start"], row["end"]) for row in rows] == [("0.0", "0.2"), ("0.2", "0.4")]


def test_words_of_classes_and_videos_are_added(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*MATCH, "--keep=1", "--frames=2", "--workers=0"]) == 0
    name = written()[0].videos["0.mp4"].name
    Path("words.json").write_text(json.dumps({name: ["throw", name], "unused": ["x"]}))
    Path("captions.jsonl").write_text('{"id": "0.mp4", "captions": ["a man throws a ball"]}\n')
    add = ["bags", "add", "bags/bags.jsonl", "--classes=words.json", "--videos=captions.jsonl", "--output=more.jsonl"]
    assert main(add) == 0
    more = WordBags.load(Path("more.jsonl"))
    assert more.words("0.mp4") == ("throw", "a man throws a ball")
    assert more.sources.keys() == {"match", "classes", "videos"}
    assert "4 bags with" in capsys.readouterr().out
    assert written()[0].classes == {}
    Path("captions.jsonl").write_text('{"id": "00.mp4", "words": ["run"]}\n')
    assert main(add) == 1
    assert "1 video that bags/bags.jsonl doesn't have (first: 00.mp4" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("option", "message"), [("--keep=0", "--keep is 0"), ("--batch_size=0", "at least 1"), ("--list=x.txt", "x.txt")]
)
def test_wrong_options_are_rejected(option: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*MATCH, option]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_maxi_runs_end_to_end_on_videos_without_labels() -> None:
    assert main([*MATCH, "--keep=1", "--frames=4", "--workers=0"]) == 0
    Path("words.jsonl").write_text("".join(f'{{"id": "{k}.mp4", "words": ["w{k}", "run"]}}\n' for k in range(4)))
    assert main(["bags", "add", "bags/bags.jsonl", "--videos=words.jsonl"]) == 0
    Path("test.txt").write_text("0.mp4 0\n1.mp4 1\n")
    lists = ["--data.root=videos", "--data.train=bags/train.csv", "--data.test=test.txt", "--data.labels=names"]
    options = ["--config=own_videos", "--config=baselines/maxi", "--data=VideoLists", *lists, "--data.val=null"]
    options += ["--model.bags=bags/bags.jsonl", "--model.video_clip.pretrained=tiny", "--data.clips.frames=4"]
    options += ["--data.loading.global_batch_size=2", "--data.loading.workers=0", "--trainer.accelerator=cpu"]
    options += ["--trainer.precision=32", "--data.clips.short_side=54", "--data.clips.crop_size=48", *QUIET]
    checkpoint = "runs/own_videos/version_0/checkpoints/last.ckpt"
    assert main(["fit", *options, "--trainer.max_epochs=2"]) == 0
    uninterrupted = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert main(["test", *options, f"--ckpt_path={checkpoint}"]) == 0
    results = json.loads(Path("runs/own_videos/version_1/results.json").read_text())
    bags = WordBags.load(Path("bags/bags.jsonl"))
    assert results["checkpoint"]["training"]["sentences"]["words"] == bags.digest
    assert results["model"]["task"] == "WordBagRecognition"
    assert main(["predict", *options, f"--ckpt_path={checkpoint}"]) == 0
    # interrupted and resumed, the run ends with the same weights: words are drawn by step
    interrupt = ["--trainer.callbacks+=tests.interruptions.InterruptAt", "--trainer.callbacks.moment=before_update"]
    interrupt.append("--trainer.callbacks.step=3")
    with pytest.raises(Interrupted):
        main(["fit", *options, "--trainer.max_epochs=2", "--checkpoint.every_n_steps=1", *interrupt])
    stopped = "runs/own_videos/version_3/checkpoints/last.ckpt"
    assert torch.load(stopped, weights_only=True)["global_step"] < 4
    assert main(["fit", *options, "--trainer.max_epochs=2", f"--ckpt_path={stopped}"]) == 0
    again = torch.load("runs/own_videos/version_4/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(again[name], weight) for name, weight in uninterrupted.items())
