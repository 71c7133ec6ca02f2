"""Callbacks that extend an evaluation by further scores, figures and files."""
