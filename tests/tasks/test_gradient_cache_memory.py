"""The global contrast needs the memory of one micro-batch, as measured by the benchmark."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import LIMIT, environment

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gradient_cache.py"
MICRO_BATCH, FRAMES = 8, 32


def step(mode: str, videos: int) -> dict[str, float]:
    """Additional peak memory of a step, in MB, with loss and gradient norm; tiny CLIP on a CPU."""
    sizes = [f"--videos={videos}", f"--frames={FRAMES}", f"--micro_batch={MICRO_BATCH}"]
    process = subprocess.run(
        [sys.executable, BENCHMARK, *sizes, "--json", "--modes", mode],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    result: dict[str, float] = json.loads(process.stdout)
    return result


@pytest.mark.slow
def test_the_contrast_of_256_videos_takes_the_memory_of_a_micro_batch() -> None:
    alone = step("one micro-batch", 256)
    assert alone["videos"] == MICRO_BATCH
    cached = {videos: step("gradient cache", videos) for videos in (32, 256)}
    assert cached[256]["videos"] == 256
    # activations of one micro-batch; only pixels, embeddings and scores grow
    assert cached[256]["peak_mb"] < 1.2 * alone["peak_mb"]
    full = {videos: step("at once", videos) for videos in (16, 32)}
    assert full[32]["peak_mb"] > 1.8 * full[16]["peak_mb"]
    assert full[32]["peak_mb"] > 3 * cached[256]["peak_mb"]
    for figure in ("loss", "gradient_norm"):
        assert cached[32][figure] == pytest.approx(full[32][figure], rel=1e-5)
