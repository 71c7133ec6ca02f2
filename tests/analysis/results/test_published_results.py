import pytest

from ost_lightning.analysis.results.published_results import Row, published_rows
from ost_lightning.analysis.results.results_table import as_markdown, as_records, table
from tests.analysis.example_runs import run, three_splits, trained


def test_figures_of_the_papers() -> None:
    def figure(protocol: str, benchmark: str, setting: str, method: str = "OST", frames: str | None = None) -> float:
        found = [
            row
            for row in published_rows()
            if (row.protocol, row.benchmark, row.setting, row.method) == (protocol, benchmark, setting, method)
            and row.backbone == "ViT-B/16"
            and frames in (None, row.frames)
        ]
        assert len(found) == 1
        return round(100 * found[0].top1, 1)

    assert figure("zero_shot", "kinetics600", "", frames="32") == 75.1
    assert figure("few_shot", "ucf101", "16 shots, from kinetics400") == 96.2
    assert figure("few_shot", "ssv2", "2 shots, from CLIP") == 7.0
    assert figure("supervised", "activitynet", "", frames="16") == 88.7
    assert figure("base_to_novel", "hmdb51", "harmonic mean", "FROSTER") == 65.1
    # Table 2 has ViFi-CLIP itself tuned on Kinetics-400; its authors' README has their prompted model
    assert figure("few_shot", "hmdb51", "2 shots, from kinetics400", "ViFi-CLIP") == 55.8
    prompted = "ViFi-CLIP with vision-language prompts"
    assert figure("few_shot", "hmdb51", "2 shots, from kinetics400", prompted) == 63.0
    assert figure("few_shot", "ssv2", "16 shots, from kinetics400", "MAXI") == 12.4
    assert figure("few_shot", "ucf101", "4 shots, from CLIP", "A5") == 79.9
    assert {figure("few_shot", "ssv2", f"{shots} shots, from CLIP", "vanilla CLIP") for shots in (2, 4, 8, 16)} == {2.7}
    deviations = {
        (row.method, row.benchmark): round(100 * (row.std or 0), 1)
        for row in published_rows()
        if row.protocol == "zero_shot" and row.measured_by == "OST Table 1" and row.frames != "32"
    }
    assert deviations == {("OST", "hmdb51"): 1.1, ("OST", "ucf101"): 1.3, ("OST", "kinetics600"): 0.8}
    assert all(0 < row.top1 < 1 and row.measured_by for row in published_rows())


def rows(method: str, backbone: str = "ViT-B/16") -> dict[str, Row]:
    return {
        row.benchmark: row
        for row in published_rows()
        if (row.protocol, row.method, row.backbone) == ("zero_shot", method, backbone)
    }


def figures(found: dict[str, Row]) -> dict[str, tuple[float, float]]:
    return {name: (round(100 * row.top1, 1), round(100 * (row.std or 0), 1)) for name, row in found.items()}


def test_newer_figures_name_their_protocol_and_source() -> None:
    base, large = rows("TACO"), rows("TACO", "ViT-L/14")
    assert figures(base) == {"hmdb51": (60.0, 0.5), "ucf101": (85.6, 1.2), "kinetics600": (77.0, 0.9)}
    assert {name: figure for name, (figure, _) in figures(large).items()} == {
        "hmdb51": 64.2,
        "ucf101": 91.4,
        "kinetics600": 83.9,
    }
    assert all("28 templates" in row.remarks[0] and "README" in row.measured_by for row in base.values())
    adapted = rows("CONDA on OST")
    assert [top1 for top1, _ in figures(adapted).values()] == [55.2, 81.5, 75.1]
    assert all("third party" in row.measured_by and not row.ranked for row in adapted.values())


def test_figures_of_an_unverified_protocol_are_marked() -> None:
    for method, backbone in (("ER-ZSAR", "TSM ResNet-50 (no CLIP)"), ("JigsawNet", "R(2+1)D (no CLIP)")):
        found = rows(method, backbone)
        for name in ("hmdb51", "ucf101"):
            assert found[name].remarks[0].startswith("Unverified: the figure may be of half of the classes")
            assert not found[name].ranked
    kinetics = rows("ER-ZSAR", "TSM ResNet-50 (no CLIP)")["kinetics600"]
    assert (kinetics.remarks, kinetics.ranked) == ((), True)


@pytest.mark.parametrize(
    ("benchmark", "backbone", "method", "figure"),
    [
        ("hmdb51", "ViT-B/16", "TACO", 60.0),
        ("ucf101", "ViT-B/16", "TACO", 85.6),
        ("kinetics600", "ViT-B/16", "TC-CLIP (LLM) with weight ensemble", 78.1),
        ("hmdb51", "ViT-L/14", "TACO", 64.2),
        ("ucf101", "ViT-L/14", "TACO", 91.4),
        ("kinetics600", "ViT-L/14", "TACO", 83.9),
    ],
)
def test_the_best_known_figure_of_each_column(benchmark: str, backbone: str, method: str, figure: float) -> None:
    column = [row for row in published_rows() if row.comparable == ("zero_shot", benchmark, "", backbone)]
    best = max((row for row in column if row.ranked), key=lambda row: row.top1)
    assert (best.method, round(100 * best.top1, 1)) == (method, figure)


def test_remarks_on_published_figures_are_printed() -> None:
    shown = table([run("zero_shot", trained("kinetics400"), **three_splits())])
    assert "] TACO is tested with class names that an LLM rewrote" in as_markdown(shown)
    assert "ranked" not in as_records(shown)[0]


def test_a_figure_that_is_not_ranked_is_not_shown_as_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    from ost_lightning.analysis.results import results_table

    (adapted,) = (row for row in published_rows() if row.method == "CONDA on OST" and row.benchmark == "hmdb51")
    highest = Row(**{name: getattr(adapted, name) for name in Row.__slots__} | {"top1": 0.99})
    monkeypatch.setattr(results_table, "published_rows", lambda: (*published_rows(), highest))
    shown = table([run("zero_shot", trained("kinetics400"), **three_splits())])
    assert shown[-1].method == "TACO"
