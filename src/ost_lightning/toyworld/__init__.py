"""The built-in data set: a rendered world of people, props and settings, and a tiny CLIP pre-trained on it."""
