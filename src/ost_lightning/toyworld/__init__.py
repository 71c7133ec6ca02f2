"""The embedded default: a rendered world of people, props and places, its videos, and a tiny CLIP that knows it."""
