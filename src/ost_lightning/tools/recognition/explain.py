"""`ost explain`: why a video was recognized as a class, and not as another one."""

import json
from pathlib import Path
from typing import Literal

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.tools.options import class_names, output_folder


def explain(
    video: str,
    weights: str = "openai/clip-vit-base-patch16",
    labels: str | None = None,
    classes: str | None = None,
    class_: str | None = None,
    against: str | None = None,
    output: Path | None = None,
    maps: Literal["relevance", "rollout", "class_attention"] | None = None,
    device: str | None = None,
) -> None:
    """Explains why a video was recognized as a class and not as another one, by sentences, frames and patches.

    Prints the sentence that speaks most for a class, the step of it that is hardly seen, and the frames that speak for
    one class and not for the other. With `output`, draws which frames match which sentences, and writes all figures to
    explanation.json; with `maps`, draws where in the frames the encoder looked.

    Args:
        video: File, folder of frames, or URL.
        weights: Hub id, `tiny`, folder in HF format, checkpoint (.ckpt), or folder of a run or experiment.
        labels: Name of a label space (`kinetics400`) or folder of one.
        classes: Class names separated by commas, such as `archery, surfing`.
        class_: Class to explain; the most likely one if not given.
        against: Class to compare with; the next most likely one if not given.
        output: Folder for pictures and explanation.json; none are written if not given.
        maps: Attention maps to draw: `relevance` for each sentence, or `rollout` or `class_attention`, which are the
            same for all sentences; none if not given. They need a CLIP or SigLIP without a head that relates frames.
        device: Device for computation; a GPU if available and otherwise the CPU, if not given.
    """
    chosen = class_names(labels, classes)
    if maps is not None and output is None:
        raise UserError("--maps draws pictures: name a folder for them with --output.")
    if output is not None:
        output_folder(output)
    from ost_lightning.recognition import Recognizer, draw_maps, draw_matches

    recognizer = Recognizer.load(weights, chosen, device)
    found = recognizer(video)
    print(found)
    first = class_ or found.label
    if first == against:
        raise UserError(f"--against is {against!r}, which is the class to explain: choose another one.")
    second = against or next((name for name in found.classes if name != first), None)
    compared = [name for name in (first, second) if name is not None]
    explained = recognizer.explain(video, compared)
    for rank, explanation in enumerate(explained, start=1):
        print(explanation)
        for other in explained:
            if other is not explanation and (frames := explanation.frames_against(other)):
                when = ", ".join(explanation.matches[0].when(frame) for frame in frames)
                print(f"  rather than '{other.label}': {when}")
        if output is not None:
            letters = "".join(letter if letter.isalnum() else "_" for letter in explanation.label)
            name = f"{rank}_{letters}"
            draw_matches(explanation, output / f"{name}_matches.png")
            if maps is not None:
                shown = recognizer.maps(explanation, maps)
                draw_maps(explanation, explanation.matches, shown, output / f"{name}_{maps}.png")
    if output is not None:
        seconds = [*explained[0].matches[0].seconds]
        records = [explanation.record() for explanation in explained]
        content = {"video": found.video, **recognizer.conditions(), "seconds": seconds, "classes": records}
        write_text_atomically(output / "explanation.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        print(f"Pictures and explanation.json written to {output}")
