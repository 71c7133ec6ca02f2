from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from ost_lightning.callbacks import CompiledVision
from ost_lightning.callbacks.training.compiled_vision import compile_vision
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName
from ost_lightning.models import AffixPrompts, PromptedVideoCLIP, VideoCLIP, VideoPrompts
from ost_lightning.tasks import SupervisedRecognition


def test_a_tower_that_prompts_run_layer_by_layer_is_not_compiled(tmp_path: Path) -> None:
    trainer, affix = (
        Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path),
        partial(AffixPrompts, prefix=2),
    )
    text = SupervisedRecognition(PromptedVideoCLIP("tiny", text_prompts=affix), CategoryName())
    CompiledVision().setup(trainer, text, "fit")  # its vision tower is run as a whole
    vision = SupervisedRecognition(PromptedVideoCLIP("tiny", vision_prompts=VideoPrompts), CategoryName())
    with pytest.raises(UserError, match=r"CompiledVision compiles the vision tower as a whole.*remove the callback"):
        CompiledVision().setup(trainer, vision, "fit")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """Graphs that are compiled, each run as it is, without a C++ compiler."""
    found: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        found.append(graph)
        return graph

    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda part: compile_module(part, backend=backend, fullgraph=True, dynamic=None)
    )
    torch._dynamo.reset()
    return found


def clips(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 2, 3, 48, 48), dtype=torch.uint8)


def test_one_graph_is_compiled_for_batches_of_all_sizes(graphs: list[torch.fx.GraphModule]) -> None:
    model, plain = VideoCLIP("tiny").eval(), VideoCLIP("tiny").eval()
    compile_vision(model)
    with torch.inference_mode():
        for count in (4, 4, 3, 1):
            batch = clips(count)
            torch.testing.assert_close(model.encode_frames(batch), plain.encode_frames(batch), atol=1e-5, rtol=0)
    assert len(graphs) == 2  # pixels, tower


def test_a_training_step_has_the_graph_of_a_whole_tower(graphs: list[torch.fx.GraphModule]) -> None:
    """The backend's `fullgraph` fails at anything that is not part of one graph."""
    model, plain = VideoCLIP("tiny"), VideoCLIP("tiny")
    compile_vision(model)
    batch, gradients = clips(2), []
    for one in (model, plain):
        one.encode_frames(batch).sin().sum().backward()
        gradients.append({name: weight.grad for name, weight in one.named_parameters() if weight.grad is not None})
    assert len(graphs) == 2
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, atol=1e-5, rtol=1e-4)
    torch._dynamo.reset()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(model.encode_frames(batch)).all()
