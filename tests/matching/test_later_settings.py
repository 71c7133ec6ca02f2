"""Settings that were added later are recorded only where they are set."""

from ost_lightning.matching import OptimalDescriptorSolver, TermWeights, TransportProblem
from ost_lightning.matching.later_settings import recorded_fields
from ost_lightning.models import constructor_settings


def test_a_record_leaves_out_what_was_added_later_and_is_at_its_default() -> None:
    four = ["spatio_pooled", "temporal_pooled", "spatio_transported", "temporal_transported"]
    assert recorded_fields(TermWeights()) == four
    assert recorded_fields(TermWeights(name=0.5, order=1)) == [*four, "name", "order"]
    assert recorded_fields(TransportProblem(frame_temperature=0.1))[-1] == "frame_temperature"
    assert "frame_temperature" not in recorded_fields(TransportProblem())


def test_digests_of_solvers_without_a_name_term_stay_the_same() -> None:
    assert "name" not in constructor_settings(OptimalDescriptorSolver())["terms"]
    assert constructor_settings(OptimalDescriptorSolver(terms=TermWeights(name=2.0)))["terms"]["name"] == 2.0
