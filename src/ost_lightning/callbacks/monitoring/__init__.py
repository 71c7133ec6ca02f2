"""Callbacks that watch a run: progress, throughput, gradients, losses."""
