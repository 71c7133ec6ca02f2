"""`python -m studies.explain`: the pointing game on stills of the rendered world."""

import argparse
from pathlib import Path

from ost_lightning.recognition import load_trained_model
from studies.explain.pointing import draw_examples, goals, pointing_game, table
from studies.explain.stills import draw_stills


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.explain", description=__doc__)
    parser.add_argument(
        "--weights", default="tiny", help="weights, a checkpoint or the folder of a run; default: the tiny CLIP"
    )
    parser.add_argument("--stills", type=int, default=300, help="number of stills in each draw")
    parser.add_argument("--draws", type=int, default=5, help="number of draws of stills")
    parser.add_argument("--filmed", action="store_true", help="see the stills through the camera of the videos")
    parser.add_argument("--picture", type=Path, help="PNG for some stills of the first draw with their maps")
    options = parser.parse_args()
    clip = load_trained_model(options.weights).video_clip.eval()
    draws = []
    for draw in range(options.draws):
        stills = draw_stills(options.stills, draw, filmed=options.filmed)
        draws.append(pointing_game(clip, stills))
        if draw == 0 and options.picture is not None:
            draw_examples(clip, stills, options.picture)
    print(f"{options.draws} draws of {options.stills} stills, {'filmed' if options.filmed else 'as drawn'}\n")
    print(table(draws))
    print(f"\n{goals(draws)}")


if __name__ == "__main__":
    main()
