"""`ost explain`: why a video was recognized as a class, and not as another one; by one model or by two."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write, write_text_atomically
from ost_lightning.tools.options import class_names, output_file, output_folder

if TYPE_CHECKING:
    from ost_lightning.recognition import ExplainedByModel, Explanation, Recognition


def explain(
    video: str,
    weights: str = "openai/clip-vit-base-patch16",
    labels: str | None = None,
    classes: str | None = None,
    class_: str | None = None,
    against: str | None = None,
    true_class: str | None = None,
    other_weights: str | None = None,
    output: Path | None = None,
    maps: Literal["relevance", "rollout", "class_attention"] | None = None,
    device: str | None = None,
) -> None:
    """Explains why a video was recognized as a class and not as another one, by sentences, frames and patches.

    Prints the sentence that speaks most for a class, the step of it that is hardly seen, and the frames that speak for
    one class and not for the other. An `output` called .html is a page with a player, which shows which frames match
    which sentences, and with `maps` where in the frames the encoder looked. A folder gets the same as pictures, and all
    figures in explanation.json. With `other_weights`, two models explain the same classes of the same video, and page
    and pictures show both side by side.

    Args:
        video: File, folder of frames, or URL.
        weights: Hub id, `tiny`, folder in HF format, checkpoint (.ckpt), or folder of a run or experiment.
        labels: Name of a label space (`kinetics400`) or folder of one.
        classes: Class names separated by commas, such as `archery, surfing`.
        class_: Class to explain; the most likely one if not given.
        against: Class to compare with; the true class, or the next most likely one, if not given.
        true_class: True class of the video, if it is known; it is named wherever classes are.
        other_weights: Second model, in the forms of `weights`, to be compared with the first one; none if not given.
            It explains the classes that were chosen by the first one.
        output: Page (.html), or folder for pictures and explanation.json; none are written if not given.
        maps: Attention maps to draw: `relevance` for each sentence, or `rollout` or `class_attention`, which are the
            same for all sentences; none if not given. They need a CLIP or SigLIP without a head that relates frames.
        device: Device for computation; a GPU if available and otherwise the CPU, if not given.
    """
    chosen = class_names(labels, classes)
    if maps is not None and output is None:
        raise UserError("--maps draws pictures: name a page (.html) or a folder for them with --output.")
    is_page = output is not None and output.suffix.lower() in (".html", ".htm") and not output.is_dir()
    if output is not None:
        (output_file if is_page else output_folder)(output)
    from ost_lightning.recognition import ExplainedByModel, Recognizer, write_explanation_page

    recognizers = [
        (name, Recognizer.load(name, chosen, device)) for name in (weights, other_weights) if name is not None
    ]
    if other_weights is not None and len({model.conditions()["digest"] for _, model in recognizers}) == 1:
        raise UserError(
            f"--other_weights {other_weights} has the weights and settings of --weights {weights}: name another model."
        )
    models: list[ExplainedByModel] = []
    for name, recognizer in recognizers:
        clip = recognizer.embed_clip(video)
        found = recognizer(clip)
        compared = models[0].classes if models else _compared(found, class_, against, true_class)
        try:
            explained = recognizer.explain(clip, compared)
            shown = [] if maps is None else [recognizer.maps(explanation, maps) for explanation in explained]
        except UserError as error:
            if other_weights is None:
                raise
            raise UserError(f"{name}: {error}") from error
        if other_weights is not None:
            print(f"{name} ({type(recognizer.matcher).__name__})")
        print(found)
        if true_class is not None:
            print(f"true class: {true_class} ({100 * _probability(found, true_class):.1f} %)")
        _print(explained)
        models.append(ExplainedByModel(name, found, explained, shown, recognizer.conditions()))
    if is_page and output is not None:
        with atomic_write(output) as temporary:
            write_explanation_page(temporary, models, maps, true_class)
        print(f"Page written to {output}")
    elif output is not None:
        _write_pictures(models, output, maps, true_class)
        print(f"Pictures and explanation.json written to {output}")


def _compared(found: "Recognition", class_: str | None, against: str | None, true_class: str | None) -> list[str]:
    """Returns the class to explain, and the one to compare with if there is one."""
    if true_class is not None and true_class not in found.classes:
        raise UserError(f"--true_class is {true_class!r}, which is none of the {len(found.classes)} classes.")
    first = class_ or found.label
    if first == against:
        raise UserError(f"--against is {against!r}, which is the class to explain: choose another one.")
    # the true class is what a wrong answer has to be compared with
    candidates = [*([true_class] if true_class is not None else []), *found.classes]
    second = against or next((name for name in candidates if name != first), None)
    return [name for name in (first, second) if name is not None]


def _print(explained: "Sequence[Explanation]") -> None:
    for explanation in explained:
        print(explanation)
        for other in explained:
            if other is not explanation and (frames := explanation.frames_against(other)):
                when = ", ".join(explanation.matches[0].when(frame) for frame in frames)
                print(f"  rather than '{other.label}': {when}")


def _probability(found: "Recognition", name: str) -> float:
    return found.probabilities[found.classes.index(name)]


def _write_pictures(
    models: "Sequence[ExplainedByModel]", output: Path, maps: str | None, true_class: str | None
) -> None:
    if len(models) == 1:
        _draw_one(models[0], output, maps)
    else:
        _draw_both(models, output)
    first, *others = [model.record() for model in models]
    about = {"video": models[0].found.video} | ({} if true_class is None else {"true_class": true_class})
    content = {**about, **first, **({"other_model": others[0]} if others else {})}
    write_text_atomically(output / "explanation.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _file_stem(rank: int, label: str) -> str:
    letters = "".join(letter if letter.isalnum() else "_" for letter in label)
    return f"{rank}_{letters}"


def _draw_one(model: "ExplainedByModel", output: Path, maps: str | None) -> None:
    from ost_lightning.recognition import draw_maps, draw_matches

    for k, explanation in enumerate(model.explained):
        stem = _file_stem(k + 1, explanation.label)
        draw_matches(explanation, output / f"{stem}_matches.png")
        if model.maps:
            draw_maps(explanation, explanation.matches, model.maps[k], output / f"{stem}_{maps}.png")


def _draw_both(models: "Sequence[ExplainedByModel]", output: Path) -> None:
    from ost_lightning.recognition import draw_comparison

    for k, label in enumerate(models[0].classes):
        explanations = {model.name: model.explained[k] for model in models}
        maps = {model.name: model.maps[k] for model in models if model.maps}
        draw_comparison(
            explanations, maps, models[0].found.video, output / f"{_file_stem(k + 1, label)}_both_models.png"
        )
