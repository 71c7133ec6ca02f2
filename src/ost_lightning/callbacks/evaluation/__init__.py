"""Callbacks that add to what an evaluation scores, draws or writes."""
