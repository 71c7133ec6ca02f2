"""Scoring of videos against classes: one implementation for training runs, ablations and people."""
