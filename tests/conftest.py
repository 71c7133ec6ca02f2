import gc
import importlib
import os
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.browser import Browser, running_browser

os.environ["HF_HUB_OFFLINE"] = "1"
for variable in [name for name in os.environ if name.startswith("WANDB_")]:  # several of these make runs go online
    os.environ.pop(variable)
os.environ["NETRC"] = os.devnull  # a login would, too
os.environ["WANDB_SILENT"] = "true"
settings.register_profile(
    "untimed",
    deadline=None,  # the duration of an example doesn't matter
    phases=set(Phase) - {Phase.shrink, Phase.explain},  # a failing test must not shrink for minutes
)
settings.load_profile("untimed")


def pytest_collection() -> None:
    """Imports what all tests need, in the processes that run them; the one that distributes them begins sooner."""
    gc.disable()  # during imports, which saves a fifth of their time
    import torch

    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)  # the processes already share the cores
    # Lightning's logger keeps the stderr at the time of the import, which must not be the captured one of a test
    importlib.import_module("lightning.pytorch")


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(700, 10, 50)  # searching all objects for garbage took a twentieth of the time
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips GPU tests on machines without a GPU, even if they are selected."""
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Renders videos once per test run, in whichever process comes first, and never in the user's cache."""
    before = os.environ.get("OST_CACHE")
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["OST_CACHE"] = str(run / "cache")
    yield
    if before is None:
        del os.environ["OST_CACHE"]
    else:
        os.environ["OST_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def _tiny_models() -> Iterator[None]:
    """Reads a tiny model from its files once per process, and gives everybody a copy: hundreds of tests load one."""
    import torch

    from ost_lightning.models.encoders import base
    from ost_lightning.resources import TINY_MODELS

    load, loaded = base.load_model, {}

    def copied(architecture: Any, pretrained: str, attention: str = "sdpa") -> Any:
        if pretrained not in TINY_MODELS:
            return load(architecture, pretrained, attention)
        key = architecture, pretrained, attention
        if key not in loaded:
            with torch.inference_mode(mode=False):  # else copies could not be trained
                loaded[key] = load(architecture, pretrained, attention)
        return deepcopy(loaded[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "load_model", copied)
        yield


@pytest.fixture(autouse=True)
def _random_state() -> Iterator[None]:
    """Isolates the random state of tests."""
    import torch

    if torch.cuda.is_available():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            yield
    else:  # `manual_seed` would note, test by test, who asked for the seeds of accelerators
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(0)
        yield
        torch.set_rng_state(state)


@pytest.fixture(autouse=True)
def _reset_wandb() -> Iterator[None]:
    """Resets W&B, which otherwise keeps the first run's settings and folder as long as the process lives."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
    os.environ.pop("WANDB_MODE", None)  # left by an offline run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser, started once; each page that a test opens is a new visitor's."""
    with running_browser() as running:
        yield running


@pytest.fixture
def experiments() -> Path:
    """Folder of the shipped YAML files."""
    return Path(__file__).parents[1] / "experiments"
