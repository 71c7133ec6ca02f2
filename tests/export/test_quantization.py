"""Which layers are rounded, and how much that changes."""

import json
from collections import Counter
from pathlib import Path

import pytest

from ost_lightning import Recognizer
from ost_lightning.export import ExportSettings, ExportSource
from ost_lightning.export.graph import RecognitionGraph, trace, trace_parts
from ost_lightning.export.quantization import block_layers
from ost_lightning.models import TemporalTransformer
from ost_lightning.recognition import load_trained_model
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import DRAWS, draw_classes


def test_only_linear_layers_of_the_vision_towers_middle_blocks_are_chosen() -> None:
    model = load_trained_model("tiny")
    model.video_clip.temporal_head = TemporalTransformer(model.video_clip.embedding_dim, layers=1, positions=8)
    recognizer = Recognizer(model, LabelSpace(("a", "b")))
    clip, texts = recognizer._video_clip, recognizer._texts
    graph = RecognitionGraph(
        ExportSource(clip, recognizer.matcher, texts, recognizer.labels, recognizer.clips, "digest")
    )
    encoder = graph.embedder.video_clip.encoder
    middle = {f"linear_{number}" for number in range(6, 12)}  # six layers of the second of three blocks
    assert block_layers(encoder, trace(graph, 8)) == block_layers(encoder, trace_parts(graph, 8)[0]) == middle


@pytest.mark.slow
def test_rendered_videos_of_all_draws_keep_their_class(tmp_path: Path) -> None:
    kept, clips = Counter[str](), 0
    for draw in range(DRAWS):
        actions = draw_classes(draw)["unseen"]
        entries = {action.name: Descriptors(action.spatio, action.temporal) for action in actions}
        videos = [tmp_path / f"{draw}-{number}.mp4" for number in range(2 * len(actions))]
        for number, video in enumerate(videos):
            write_mp4(video, render_clip(actions[number % len(actions)], seed=video.stem))
        clips += len(videos)
        recognizer = Recognizer(load_trained_model("tiny"), LabelSpace(tuple(entries), entries))
        for precision, formats in {"int8": ["onnx", "openvino"], "bf16": ["openvino"]}.items():
            folder = recognizer.export(
                tmp_path / f"{draw}-{precision}", formats, ExportSettings(precision, None, videos)
            )
            for name, found in json.loads((folder / "export.json").read_text())["agreement"].items():
                assert found["largest_difference"] < 0.05
                kept[f"{name}, {precision}"] += round(found["top1_equal"] * found["clips"])
    assert clips == 200
    assert kept["onnx, int8"] >= 198
    assert kept["openvino, int8"] >= 198
    assert kept["openvino, bf16"] >= 196  # the whole tower is rounded
