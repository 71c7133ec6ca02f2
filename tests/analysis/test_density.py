import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from ost_lightning.analysis import Density, class_embeddings, density, density_results, draw_density, draw_map
from ost_lightning.analysis.density import mean_cosine_between_classes, tsne
from ost_lightning.analysis.pictures import COLORS
from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP
from ost_lightning.text import LabelSpace, Templates
from ost_lightning.toyworld.dataset import label_space


@pytest.fixture(scope="module")
def encoder() -> VideoCLIP:
    return VideoCLIP("tiny").eval()


@pytest.mark.parametrize("texts", [1, 3])
def test_the_mean_is_over_all_pairs_of_different_classes(texts: int) -> None:
    embeddings = F.normalize(torch.randn(7, texts, 16), dim=-1)
    pairs = [
        float(embeddings[i, m] @ embeddings[j, n])
        for i in range(7)
        for j in range(7)
        for m in range(texts)
        for n in range(texts)
        if i != j
    ]
    assert mean_cosine_between_classes(embeddings) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_same_and_opposite_classes() -> None:
    one = F.normalize(torch.ones(1, 1, 4), dim=-1)
    assert mean_cosine_between_classes(one.expand(5, 1, 4)) == pytest.approx(1)
    assert mean_cosine_between_classes(torch.cat([one, -one])) == pytest.approx(-1)


def test_class_embeddings_are_means_of_sentences(encoder: VideoCLIP) -> None:
    labels, templates = label_space(0, "unseen"), Templates.load("ost")
    embeddings, single = class_embeddings(encoder, labels, templates, per_class=2)
    assert single.shape == (20, 4, 128)
    for kind in ("name", "spatio", "temporal", "descriptors"):
        norms = getattr(embeddings, kind).norm(dim=-1)
        torch.testing.assert_close(norms, torch.ones(20))
    torch.testing.assert_close(embeddings.spatio, F.normalize(single[:, :2].mean(1), dim=-1))
    torch.testing.assert_close(embeddings.descriptors, F.normalize(single.mean(1), dim=-1))
    one = Templates.load("ost").apply(labels.select(labels.names[3:4]), ("name",), 1)
    with torch.no_grad():
        alone = encoder.encode_sentences(encoder.tokenize(one))["name"][0, 0]
    torch.testing.assert_close(embeddings.name[3], alone, atol=1e-5, rtol=1e-4)


def test_descriptors_separate_the_classes_of_the_rendered_world(encoder: VideoCLIP) -> None:
    """Checks Fig. 2 in the rendered world: the tiny CLIP separates classes better by descriptors than by names."""
    for group in ("seen", "unseen", "order"):
        measured = density(*class_embeddings(encoder, label_space(0, group), Templates.load("ost"), 4))
        assert measured.descriptors is not None
        assert measured.single_descriptors is not None
        assert measured.single_descriptors < measured.descriptors < measured.name


def test_pictures_and_results(encoder: VideoCLIP, tmp_path: Path) -> None:
    groups = {group: label_space(1, group) for group in ("unseen", "order")}
    encoded = {name: class_embeddings(encoder, labels, Templates.load("ost"), 4) for name, labels in groups.items()}
    densities = {name: density(*parts) for name, parts in encoded.items()}
    draw_density(densities, "a title", tmp_path / "new" / "density.png")
    draw_map({name: parts[0] for name, parts in encoded.items()}, "a title", tmp_path / "new" / "map.png")
    for name in ("density", "map"):
        with Image.open(tmp_path / "new" / f"{name}.png") as picture:
            assert len(picture.convert("RGB").resize((60, 60)).getcolors(3600)) > 15
    results = json.loads(json.dumps(density_results(densities, {"clip": "tiny"})))
    assert results["clip"] == "tiny"
    assert results["label_spaces"]["order"]["classes"] == 20
    assert results["label_spaces"]["order"]["name"] == densities["order"].name


def test_one_label_space_is_drawn_by_closeness(encoder: VideoCLIP, tmp_path: Path) -> None:
    labels = label_space(0, "unseen")
    embeddings, single = class_embeddings(encoder, labels, Templates.load("ost"), 4)
    assert embeddings.classes == tuple(labels.names)
    draw_map({"unseen": embeddings}, "a title", tmp_path / "map.png")
    draw_density({"unseen": density(embeddings, single)}, "a long title " * 9, tmp_path / "density.png")
    with Image.open(tmp_path / "map.png") as picture:
        # the colors of closeness, beyond the black of names and frames
        hues = {color for _, color in picture.convert("RGB").getcolors(10**6) if max(color) - min(color) > 60}
        assert len(hues) > 100


def test_names_alone_are_measured_and_drawn_beside_data_sets_with_descriptors(
    encoder: VideoCLIP, tmp_path: Path
) -> None:
    complete, templates = label_space(0, "unseen"), Templates.load("ost")
    alone = class_embeddings(encoder, LabelSpace(complete.names), templates, 4)
    both = class_embeddings(encoder, complete, templates, 4)
    torch.testing.assert_close(alone[0].name, both[0].name)
    measured = density(*alone)
    assert measured == Density(20, pytest.approx(density(*both).name), None, None, None, None)
    one = LabelSpace(complete.names, {complete.names[0]: complete.descriptors[complete.names[0]]})
    with pytest.raises(UserError, match=r"19 of 20 classes .* fewer than 4"):  # a part of the descriptors is a mistake
        class_embeddings(encoder, one, templates, 4)

    panels, bars = [], []
    for names, others in ((alone, {"others": both}), (alone, {}), (both, {})):
        shown = {"names": names, **others}
        draw_map({name: parts[0] for name, parts in shown.items()}, "", tmp_path / "map.svg")
        draw_density({name: density(*parts) for name, parts in shown.items()}, "", tmp_path / "density.svg")
        written = [(tmp_path / f"{name}.svg").read_text() for name in ("map", "density")]
        panels.append(written[0].count('<g id="axes_'))
        bars.append(written[1].count(f"fill: {COLORS[7]}") + written[1].count(f"fill: {COLORS[0]}"))
    assert bars == [3 + 2, 1 + 1, 2 + 2]  # bars, and the legend's
    assert panels == [2, 1 + 1, 2 + 1]  # one label space alone has a scale of colors


def test_tsne_is_repeatable_and_keeps_clusters_together() -> None:
    centers = F.normalize(torch.randn(2, 32), dim=-1)
    points = F.normalize(centers.repeat_interleave(15, 0) + 0.05 * torch.randn(30, 32), dim=-1)
    placed = torch.from_numpy(tsne(points, seed=3))
    torch.testing.assert_close(placed, torch.from_numpy(tsne(points, seed=3)))
    distances = torch.cdist(placed, placed)
    nearest = (distances + 1e9 * torch.eye(30)).argmin(1)
    assert torch.equal(nearest // 15, torch.arange(30) // 15)


def test_too_few_classes(encoder: VideoCLIP) -> None:
    with pytest.raises(UserError, match="a density needs pairs"):
        class_embeddings(encoder, LabelSpace(("one",)), Templates.load("ost"), 4)
    with pytest.raises(UserError, match="t-SNE picture of 4 classes"):
        tsne(torch.eye(4), 0)
