"""The contrast of a whole global batch in the memory of a micro-batch, as the benchmark measures it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import LIMIT, environment

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gradient_cache.py"
MICRO_BATCH, FRAMES = 8, 32


def step(mode: str, videos: int) -> dict[str, float]:
    """Peak memory above what was there before the step, in MB, with loss and gradient norm; tiny CLIP, CPU."""
    sizes = [f"--videos={videos}", f"--frames={FRAMES}", f"--micro_batch={MICRO_BATCH}"]
    done = subprocess.run(
        [sys.executable, BENCHMARK, *sizes, "--json", "--modes", mode],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


@pytest.mark.slow
def test_the_contrast_of_256_videos_takes_the_memory_of_a_micro_batch() -> None:
    alone = step("one micro-batch", 256)
    assert alone["videos"] == MICRO_BATCH
    cached = {videos: step("gradient cache", videos) for videos in (32, 256)}
    assert cached[256]["videos"] == 256
    # activations of one micro-batch; all that grows is pixels, embeddings and scores
    assert cached[256]["peak_mb"] < 1.2 * alone["peak_mb"]
    whole = {videos: step("at once", videos) for videos in (16, 32)}
    assert whole[32]["peak_mb"] > 1.8 * whole[16]["peak_mb"]
    assert whole[32]["peak_mb"] > 3 * cached[256]["peak_mb"]
    for figure in ("loss", "gradient_norm"):
        assert cached[32][figure] == pytest.approx(whole[32][figure], rel=1e-5)
