"""Callbacks that monitor a run: progress, throughput, gradients and losses."""
