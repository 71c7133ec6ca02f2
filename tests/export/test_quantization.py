"""Which layers are rounded, and how much that changes."""

import json
from pathlib import Path

import pytest

from ost_lightning import Recognizer
from ost_lightning.export import ExportSettings, ExportSource
from ost_lightning.export.graph import RecognitionGraph, trace
from ost_lightning.export.quantization import block_layers
from ost_lightning.models import TemporalTransformer
from ost_lightning.recognition import load_trained_model
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import DRAWS, draw_classes


def test_only_linear_layers_of_the_vision_towers_blocks_are_chosen() -> None:
    model = load_trained_model("tiny")
    model.video_clip.temporal_head = TemporalTransformer(model.video_clip.embedding_dim, layers=1, positions=8)
    recognizer = Recognizer(model, LabelSpace(("a", "b")))
    clip, texts = recognizer._video_clip, recognizer._texts
    graph = RecognitionGraph(
        ExportSource(clip, recognizer.matcher, texts, recognizer.labels, recognizer.clips, "digest")
    )
    chosen = block_layers(graph, trace(graph, 8))
    assert chosen == {"linear", *(f"linear_{number}" for number in range(1, 18))}  # six in each of three blocks


@pytest.mark.slow
def test_rendered_videos_of_all_draws_keep_their_class_in_openvinos_int8(tmp_path: Path) -> None:
    kept, clips = 0, 0
    for draw in range(DRAWS):
        actions = draw_classes(draw)["unseen"]
        entries = {action.name: Descriptors(action.spatio, action.temporal) for action in actions}
        videos = [tmp_path / f"{draw}-{number}.mp4" for number in range(2 * len(actions))]
        for number, video in enumerate(videos):
            write_mp4(video, render_clip(actions[number % len(actions)], seed=video.stem))
        recognizer = Recognizer(load_trained_model("tiny"), LabelSpace(tuple(entries), entries))
        folder = recognizer.export(tmp_path / str(draw), ["openvino"], ExportSettings("int8", videos=videos))
        found = json.loads((folder / "export.json").read_text())["agreement"]["openvino"]
        assert found["largest_difference"] < 0.05
        kept, clips = kept + round(found["top1_equal"] * found["clips"]), clips + found["clips"]
    assert clips == 200
    assert kept >= 198
