"""`ost explain` on a rendered video with the tiny CLIP."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.matching import MaxSimilarity
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition import load_trained_model
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes


def test_a_class_is_explained_against_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    first, second, third = draw_classes(0)["unseen"][:3]
    write_mp4(Path("clip.mp4"), render_clip(first, seed="a"))
    label_space(0, "unseen").save(Path("labels"))
    options = ["--weights=tiny", "--labels=labels", "--class", third.name, "--against", second.name, "--output=why"]
    assert main(["explain", "clip.mp4", *options, "--maps=rollout"]) == 0
    printed = capsys.readouterr().out
    assert printed.index(f"\n{third.name} (") < printed.index(f"\n{second.name} (")
    assert "is hardly seen (cost " in printed
    names = [f"{rank}_{action.name.replace(' ', '_')}" for rank, action in ((1, third), (2, second))]
    expected = sorted(f"{name}_{picture}.png" for name in names for picture in ("matches", "rollout"))
    assert sorted(path.name for path in Path("why").iterdir()) == [*expected, "explanation.json"]
    written = json.loads(Path("why/explanation.json").read_text())
    assert [entry["label"] for entry in written["classes"]] == [third.name, second.name]
    assert (written["video"], written["weights"], len(written["seconds"])) == ("clip.mp4", "tiny", 8)
    for entry in written["classes"]:
        assert len(entry["sentences"]) == 8
        for sentence in entry["sentences"]:
            assert sentence["cosine"] == pytest.approx(
                sum(share * cosine for share, cosine in zip(sentence["shares"], sentence["cosines"], strict=True))
            )
            assert f"{sentence['second']:.1f} s" in printed or sentence["second"] in written["seconds"]
    assert f"  rather than '{second.name}': " in printed or f"  rather than '{third.name}': " in printed
    same = ["--class", third.name, "--against", third.name]
    assert main(["explain", "clip.mp4", "--weights=tiny", "--labels=labels", *same]) == 1
    assert f"--against is '{third.name}'" in capsys.readouterr().err


def test_a_page_shows_the_true_class_beside_the_recognized_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    shown, _, true = draw_classes(0)["unseen"][:3]
    write_mp4(Path("clip.mp4"), render_clip(shown, seed="a"))
    label_space(0, "unseen").save(Path("labels"))
    options = ["explain", "clip.mp4", "--weights=tiny", "--labels=labels", "--true_class"]
    assert main([*options, true.name, "--maps=relevance", "--output=new/why.html"]) == 0
    printed = capsys.readouterr().out
    assert f"\ntrue class: {true.name} (" in printed
    assert printed.index(f"\n{shown.name} (") < printed.index(f"\n{true.name} (")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "labels", "new"]
    page = Path("new/why.html").read_text()
    assert f"Recognized as <bdi>{shown.name}</bdi>. True class: <bdi>{true.name}</bdi>." in page
    assert page.count("Patches that raise the cosine with the sentence: ") == 16
    assert main([*options, true.name, "--output=why"]) == 0
    assert json.loads(Path("why/explanation.json").read_text())["true_class"] == true.name
    capsys.readouterr()
    assert main([*options, "surfing", "--output=why"]) == 1
    assert "--true_class is 'surfing', which is none of the 20 classes" in " ".join(capsys.readouterr().err.split())


def test_two_models_explain_the_same_classes_in_one_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    write_mp4(Path("clip.mp4"), render_clip(draw_classes(0)["unseen"][0], seed="a"))
    names = [action.name for action in draw_classes(0)["unseen"][:3]]
    tuned = VideoCLIP("tiny")
    tuned.save_pretrained(Path("copy"))
    with torch.no_grad():
        tuned.encoder.model.visual_projection.weight.mul_(torch.linspace(0.2, 1.8, 128)[:, None])
    tuned.save_pretrained(Path("tuned"))
    options = ["explain", "clip.mp4", "--weights=tiny", f"--classes={','.join(names)}", "--maps=relevance"]
    options.append("--output=why")
    assert main([*options, "--other_weights=tuned"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("tiny (CategoryName)\nclip.mp4: ")
    assert "\ntuned (CategoryName)\nclip.mp4: " in printed
    written = json.loads(Path("why/explanation.json").read_text())
    other = written["other_model"]
    assert (written["loaded_from"], other["loaded_from"]) == ("tiny", "tuned")
    assert written["digest"] != other["digest"]
    alone = Recognizer.load("tuned", names)
    labels = Recognizer.load("tiny", names)("clip.mp4").classes[:2]
    assert tuple(entry["label"] for entry in written["classes"]) == labels
    assert other["classes"] == [explanation.record() for explanation in alone.explain("clip.mp4", labels)]
    assert other["digest"] == alone.conditions()["digest"]
    pictures = [f"{rank}_{label.replace(' ', '_')}_both_models.png" for rank, label in enumerate(labels, start=1)]
    assert sorted(path.name for path in Path("why").iterdir()) == [*pictures, "explanation.json"]
    assert main([*options, "--other_weights=copy"]) == 1
    assert "--other_weights copy has the weights and settings of --weights tiny" in (
        " ".join(capsys.readouterr().err.split())
    )


def test_the_model_that_cannot_be_explained_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    write_mp4(Path("clip.mp4"), render_clip(draw_classes(0)["unseen"][0], seed="a"))
    models = {"tiny": load_trained_model("tiny")}
    models["other"] = replace(models["tiny"], matcher=MaxSimilarity())
    monkeypatch.setattr(Recognizer, "load", lambda name, *_: Recognizer(models[name], label_space(0, "unseen")))
    options = ["--weights=tiny", "--other_weights=other", "--labels=labels", "--output=why"]
    assert main(["explain", "clip.mp4", *options]) == 1
    assert "other: MaxSimilarity can't be explained" in " ".join(capsys.readouterr().err.split())
    assert not Path("why").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--maps=rollout", "--classes=a"], "name a page"), (["--classs=a"], "Did you mean --class")],
)
def test_mistakes(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "clip.mp4", "--weights=does/not/exist", *options]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
