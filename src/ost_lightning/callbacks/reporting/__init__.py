"""Callbacks that record the conditions and results of a run."""
