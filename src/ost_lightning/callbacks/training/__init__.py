"""Callbacks that change how the model is trained."""
