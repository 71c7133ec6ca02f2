import gc
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_SILENT"] = "true"
for variable in ("WANDB_API_KEY", "WANDB_SWEEP_ID"):  # with these a run is sent
    os.environ.pop(variable, None)
settings.register_profile(
    "untimed",
    deadline=None,  # how long an example takes is no matter of tests
    phases=set(Phase) - {Phase.shrink, Phase.explain},  # a failing test must not search for minutes
)
settings.load_profile("untimed")
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the processes share the cores already


def pytest_configure() -> None:
    """Until all is imported, nobody looks for garbage in it: a fifth of the time."""
    gc.disable()
    importlib.import_module("lightning.pytorch")  # its logger keeps the stderr of its import: not that of one test


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a GPU are left out where there is none, also if they are asked for."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Rendered videos are made once in a test run, by whichever process comes first, and never in the user's cache."""
    before = os.environ.get("OST_CACHE")
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["OST_CACHE"] = str(run / "cache")
    yield
    if before is None:
        del os.environ["OST_CACHE"]
    else:
        os.environ["OST_CACHE"] = before


@pytest.fixture(autouse=True)
def _random_state() -> Iterator[None]:
    """No test changes what another one draws."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(autouse=True)
def _forgetful_wandb() -> Iterator[None]:
    """W&B keeps the first run's settings, and its folder, as long as the process lives."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


@pytest.fixture
def experiments() -> Path:
    """The shipped YAML files."""
    return Path(__file__).parents[1] / "experiments"
