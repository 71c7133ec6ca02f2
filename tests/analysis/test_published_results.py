from ost_lightning.analysis.published_results import published_rows


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
