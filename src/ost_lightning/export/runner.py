"""Recognizes videos with an exported graph; needs NumPy, PyAV and the runtime: `python runner.py clip.mp4 ...`."""

import json
import sys
from importlib import import_module
from pathlib import Path

import av
import numpy as np

SETTINGS = json.loads(Path(__file__).with_name("export.json").read_text(encoding="utf-8"))


def load(name):  # returns a function from uint8 frames (V, T, 3, S, S) to probabilities (V, K)
    file, runtime = str(Path(__file__).with_name(SETTINGS["graphs"][name])), import_module(SETTINGS["runtimes"][name])
    if name == "onnx":
        return lambda x, run=runtime.InferenceSession(file, **SETTINGS["onnx"]).run: run(None, {"frames": x})[0]
    if name == "openvino":
        parts = [runtime.compile_model(Path(__file__).with_name(p), "CPU", way) for p, way in SETTINGS[name].items()]
        return lambda x: [x := part(x)[0] for part in parts][-1]
    return lambda frames, program=runtime.export.load(file).module(): program(runtime.from_numpy(frames)).numpy()


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        yield from ((frame, float(stream.sample_aspect_ratio or 1)) for frame in container.decode(stream))


def square(frame, aspect, short_side, side, squash, floor, resize):  # crop of one frame, uint8 (3, S, S)
    turn, shown = round(frame.rotation / 90) % 4, (frame.height, max(1, round(frame.width * aspect)))
    stored, size = np.array([frame.height, frame.width]), np.array([int(n * short_side / min(shown)) for n in shown])
    box = size if squash else np.array([side, side])
    start = [length // 2 if floor else round(length / 2) for length in (size - box).tolist()]
    start = [(size - box)[axis] - start[axis] if turn in (2, 3 - 2 * axis) else start[axis] for axis in (0, 1)]
    if (size == stored).all() and (box == side).all():
        whole = frame.reformat(format="rgb24", interpolation=resize.upper()).to_ndarray()
        return np.rot90(whole[start[0] :, start[1] :][:side, :side], turn).transpose(2, 0, 1)
    y, x = (stored / size * start).astype(int) // 2 * 2
    high, wide = np.fmin(np.fmax(2, np.rint(stored / size * box).astype(int)), stored - (y, x))
    graph, colors = av.filter.Graph(), f"colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    properties = f"{frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={frame.time_base}:{colors}"
    source, crop = graph.add("buffer", f"video_size={properties}"), graph.add("crop", f"{wide}:{high}:{x}:{y}")
    scale, planar = graph.add("scale", f"{side}:{side}:flags={resize}"), graph.add("format", "gbrp")
    graph.link_nodes(source, crop, scale, planar, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return np.rot90(graph.vpull().to_ndarray(), turn).transpose(2, 0, 1)


def read_clip(path, frames=SETTINGS["frames"], views=SETTINGS["views"]):  # T middles, uint8 (V, T, 3, S, S)
    count, points = sum(1 for _ in decode(path)), np.arange(frames) + (np.arange(views)[:, None] + 0.5) / views
    chosen = np.minimum(points * (count / frames), count - 1).astype(int)
    shown = {index: square(*shot, **SETTINGS["crop"]) for index, shot in enumerate(decode(path)) if index in chosen}
    return np.stack([[shown[index] for index in view] for view in chosen.tolist()])


if __name__ == "__main__":
    recognize = load(next(iter(SETTINGS["graphs"])))
    for video, found in ((video, recognize(read_clip(video)).mean(0)) for video in sys.argv[1:]):
        print(video, *(f"{100 * found[k]:5.1f} % {SETTINGS['classes'][k]}" for k in np.argsort(-found)[:5]), sep="\n  ")
