"""Pre-training of the tiny CLIP that comes with the package; README.md says how to reproduce it."""
