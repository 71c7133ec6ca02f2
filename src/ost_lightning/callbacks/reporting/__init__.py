"""Callbacks that record what was run and what came out."""
