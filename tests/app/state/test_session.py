"""What one person does: scores are those of `Recognizer`, nothing is encoded twice, long videos stay cheap."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ost_lightning import Recognizer
from ost_lightning.app.state.models import Models
from ost_lightning.app.state.session import PART_SECONDS, Session
from ost_lightning.errors import UserError
from ost_lightning.models import TokenizedSentences, VideoCLIP
from ost_lightning.text import Descriptors, LabelSpace
from tests.videos import write_video


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Numbers of frames and sentences that are encoded."""
    counts = {"frames": 0, "sentences": 0}
    encode_frames, encode_sentences = VideoCLIP.encode_frames, VideoCLIP.encode_sentences

    def frames(model: VideoCLIP, pixels: object) -> object:
        counts["frames"] += pixels.shape[0] * pixels.shape[1]  # type: ignore[attr-defined]
        return encode_frames(model, pixels)  # type: ignore[arg-type]

    def sentences(model: VideoCLIP, tokens: TokenizedSentences) -> object:
        counts["sentences"] += sum(rows.shape[0] * rows.shape[1] for rows in tokens.tokens.values())
        return encode_sentences(model, tokens)

    monkeypatch.setattr(VideoCLIP, "encode_frames", frames)
    monkeypatch.setattr(VideoCLIP, "encode_sentences", sentences)
    return counts


def test_scores_are_those_of_a_recognizer(session: Session, clip: Path, space: LabelSpace) -> None:
    session.choose(space)
    session.open(clip)
    found, expected = session.recognize("tiny"), Recognizer.load("tiny", space, "cpu")(clip)
    assert found.classes == expected.classes
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    assert found.video == "clip.mp4"
    segments, alone = session.timeline("tiny").segments, Recognizer.load("tiny", space, "cpu").timeline(clip).segments
    assert len(segments) == len(alone)
    for one, other in zip(segments, alone, strict=True):  # sentences that are encoded together are rounded otherwise
        assert (one.start, one.end, one.label) == (other.start, other.end, other.label)
        assert one.score == pytest.approx(other.score, abs=1e-6)
        assert [each.sentence for each in one.evidence] == [each.sentence for each in other.evidence]


def test_an_edit_encodes_one_sentence_and_no_frame(
    session: Session, clip: Path, space: LabelSpace, encoded: dict[str, int]
) -> None:
    session.choose(space)
    session.open(clip)
    before = session.recognize("tiny")
    session.timeline("tiny")
    session.explain("tiny")
    encoded.update(frames=0, sentences=0)
    rows = session.rows(before.label, "tiny")
    assert not session.edit(before.label, rows, "tiny")
    rows[0][1] = "nothing that is to be seen here"
    assert session.edit(before.label, rows, "tiny")
    after = session.recognize("tiny")
    session.timeline("tiny")
    session.explain("tiny")
    assert encoded == {"frames": 0, "sentences": 1}
    assert session.before == dict(zip(before.classes, before.probabilities, strict=True))
    assert after.probabilities != before.probabilities
    assert session.rows(before.label, "tiny") == rows


def test_sessions_share_the_sentences_that_they_begin_with(
    models: Models, space: LabelSpace, encoded: dict[str, int]
) -> None:
    shared = Models(dict(models.recognizers), space)
    described = space.descriptors.items()
    different = {text for _, entry in described for text in entry.spatio}
    different |= {f"{name}: {text}" for name, entry in described for text in entry.temporal}
    for expected in (len(different), 0):
        encoded["sentences"] = 0
        one = Session(shared, 1)
        one.choose(space)
        one.recognizer("tiny")
        assert encoded["sentences"] == expected
    # what one person writes is nobody else's
    one.edit(space.names[0], [[kind, "a picture of noise"] for kind, _ in one.rows(space.names[0], "tiny")], "tiny")
    one.recognizer("tiny")
    assert shared.of("tiny").labels is space


def test_classes_keep_the_spelling_of_their_publisher(session: Session) -> None:
    space = LabelSpace.load("ucf101")
    session.choose(space)
    assert session.required_labels() is space
    session.type_classes("archery, surfing")
    assert session.required_labels().published == ("Archery", "Surfing")


def test_a_class_that_is_added_and_removed_keeps_the_edits(session: Session, space: LabelSpace) -> None:
    session.choose(space)
    name = space.names[0]
    rows = session.rows(name, "tiny")
    rows[0][1] = "a picture of noise"
    session.edit(name, rows, "tiny")
    session.type_classes("\n".join([*space.names, "archery"]))
    assert session.undescribed() == ["archery"]
    assert session.required_labels().descriptors == {}
    session.type_classes("\n".join(space.names))
    assert session.rows(name, "tiny") == rows
    assert session.loaded().descriptors[name] == space.descriptors[name]


def test_an_llm_describes_typed_classes(session: Session, clip: Path) -> None:
    session.open(clip)
    session.type_classes("archery, surfing")
    assert session.recognizer("tiny").matcher.kinds == ("name",)
    entry = Descriptors(("a", "b", "c", "d"), ("e", "f", "g", "h"))
    session.describe(LabelSpace(("archery", "surfing"), {"archery": entry, "surfing": entry}))
    assert session.undescribed() == []
    assert "spatio" in session.recognizer("tiny").matcher.kinds
    assert len(session.recognize("tiny").classes) == 2
    with pytest.raises(UserError, match="not those of a label space with sentences"):
        session.loaded()


def test_another_video_is_another_answer(session: Session, clip: Path, space: LabelSpace, tmp_path: Path) -> None:
    session.choose(space)
    session.open(clip)
    first = session.recognize("tiny")
    session.open(write_video(tmp_path / "x.mp4", 12))
    assert session.recognize("tiny").probabilities != first.probabilities
    session.open(None)
    with pytest.raises(UserError, match="no video yet"):
        session.recognize("tiny")


def test_a_video_that_is_refused_leaves_none_behind(session: Session, clip: Path, tmp_path: Path) -> None:
    session.type_classes("archery, surfing")
    session.open(clip)
    (tmp_path / "x.mp4").write_text("hello")
    with pytest.raises(UserError, match=r"x.mp4 can't be used"):
        session.open(tmp_path / "x.mp4")
    with pytest.raises(UserError, match="no video yet"):
        session.recognize("tiny")


def test_a_video_of_one_frame(session: Session, space: LabelSpace, tmp_path: Path) -> None:
    session.choose(space)
    session.open(write_video(tmp_path / "x.mp4", 1))
    assert len(session.recognize("tiny").classes) == len(space)
    assert session.timeline("tiny").duration == pytest.approx(0.04)
    assert session.explain("tiny")[1].best.frame == 0


def write_long(file: Path, seconds: int) -> Path:
    """Writes one frame per second, each a keyframe; one picture is encoded, and written again and again."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", 1)
        stream.width, stream.height = 32, 32  # type: ignore[attr-defined]
        picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
        encoded = stream.encode(av.VideoFrame.from_ndarray(picture))  # type: ignore[attr-defined]
        (packet,) = [*encoded, *stream.encode()]  # type: ignore[attr-defined]
        for k in range(seconds):
            again = av.Packet(bytes(packet))
            again.stream, again.time_base, again.is_keyframe = stream, Fraction(1), True
            again.pts = again.dts = k
            container.mux(again)
    return file


def test_of_two_hours_ten_minutes_are_looked_at(
    session: Session, space: LabelSpace, tmp_path: Path, encoded: dict[str, int]
) -> None:
    session.choose(space)
    session.open(write_long(tmp_path / "x.mp4", 7200))
    assert session.duration == 7200
    encoded["frames"] = 0
    session.recognize("tiny")
    assert encoded["frames"] == 8
    found = session.timeline("tiny", 3600)
    assert encoded["frames"] <= 8 + 1 + PART_SECONDS
    assert [(gap.start, gap.end, gap.reason) for gap in found.gaps] == [
        (0, 3600, "not looked at"),
        (3600 + PART_SECONDS, 7200, "not looked at"),
    ]
    assert all(3600 <= one.start < one.end <= 3600 + PART_SECONDS for one in found.segments)
    assert len(session._parts) == 1


def test_what_the_encoder_does_not_read_is_told(session: Session, clip: Path) -> None:
    session.open(clip)
    session.type_classes(f"surfing, {'x ' * 99}")
    session.recognize("tiny")
    assert any("tokens and are truncated" in note for note in session.notes)


def test_names_alone_can_be_compared_without_a_change(session: Session, clip: Path, space: LabelSpace) -> None:
    session.choose(space)
    session.open(clip)
    with_sentences = session.recognize("tiny")
    alone = session.recognize("tiny", LabelSpace(space.names))
    assert alone.probabilities == pytest.approx(
        Recognizer.load("tiny", list(space.names), "cpu")(clip).probabilities, abs=1e-6
    )
    assert session.recognize("tiny") == with_sentences
