"""Pre-training of the tiny CLIP that comes with the package; see README.md to reproduce it."""
