"""A video is read and embedded once; other classes and sentences are compared with what is there."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.models import TokenizedSentences, VideoCLIP
from ost_lightning.recognition import load_trained_model
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.dataset import label_space
from tests.videos import write_video

LABELS = label_space(0, "unseen")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(load_trained_model("tiny"), LABELS)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "x.mp4", count=12)


def edited(labels: LabelSpace, name: str, sentence: str) -> LabelSpace:
    before = labels.descriptors[name]
    spatio = (sentence, *before.spatio[1:])
    return replace(labels, descriptors={**labels.descriptors, name: Descriptors(spatio, before.temporal)})


class Counter:
    """Counts the sentences that an encoder encodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sentences, encode = 0, VideoCLIP.encode_sentences

        def counting(model: VideoCLIP, sentences: TokenizedSentences) -> object:
            self.sentences += sum(rows.shape[0] * rows.shape[1] for rows in sentences.tokens.values())
            return encode(model, sentences)

        monkeypatch.setattr(VideoCLIP, "encode_sentences", counting)


def test_an_edited_sentence_alone_is_encoded(
    recognizer: Recognizer, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = edited(LABELS, LABELS.names[3], "a picture of noise")
    count = Counter(monkeypatch)
    other = recognizer.with_labels(changed)
    assert count.sentences == 1
    fresh = Recognizer(recognizer.model, changed)
    assert other.conditions() == fresh.conditions() != recognizer.conditions()
    assert other(video).classes == fresh(video).classes
    assert other(video).probabilities == pytest.approx(fresh(video).probabilities, abs=1e-6)
    assert other(video).probabilities != recognizer(video).probabilities


@pytest.mark.parametrize("names", [LABELS.names[:3], LABELS.names[::-1], ("juggling", "surfing")])
def test_other_classes_score_as_a_new_recognizer_does(
    recognizer: Recognizer, video: Path, names: Sequence[str]
) -> None:
    labels = LABELS.select(names) if names[0] in LABELS.names else LabelSpace(tuple(names))
    clip = recognizer.embed_clip(video)
    other = recognizer.with_labels(labels)
    fresh = Recognizer(recognizer.model, labels)
    assert type(other.matcher) is type(fresh.matcher)
    assert other(clip).classes == fresh(video).classes
    assert other(clip).probabilities == pytest.approx(fresh(video).probabilities, abs=1e-6)


def test_an_embedded_clip_needs_no_video(recognizer: Recognizer, tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mp4", count=12)
    clip, found, explained = recognizer.embed_clip(video), recognizer(video), recognizer.explain(video)
    video.unlink()
    assert recognizer(clip) == found
    for one, other in zip(recognizer.explain(clip), explained, strict=True):
        assert one.record() == other.record()
        assert torch.equal(one.frames, other.frames)
    assert repr(clip) == f"EmbeddedClip('{video}', 1 x 8 frames, width 128)"


def test_a_clip_of_other_settings_is_refused(recognizer: Recognizer, video: Path) -> None:
    clips = replace(recognizer.model.clips, frames=4)
    other = Recognizer(replace(recognizer.model, clips=clips), LABELS)
    with pytest.raises(UserError, match=r"embedded with other weights or settings of clips .* embed it again"):
        recognizer(other.embed_clip(video))


def test_a_calibration_is_not_taken_over(recognizer: Recognizer, video: Path) -> None:
    calibrated = recognizer.with_labels(LABELS)
    calibrated.calibrate([(video, LABELS.names[0])])
    assert calibrated(video).p_values
    assert not calibrated.with_labels(LABELS)(video).p_values
    assert not recognizer(video).p_values


def test_names_are_checked_when_they_change(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[tuple[str, ...]] = []
    monkeypatch.setattr(VideoCLIP, "warn_about_names", lambda self, labels: checked.append(labels.names))
    other = recognizer.with_labels(edited(LABELS, LABELS.names[0], "a picture of noise"))
    assert checked == []
    other.with_labels(LABELS.select(LABELS.names[:2]))
    assert checked == [LABELS.names[:2]]
