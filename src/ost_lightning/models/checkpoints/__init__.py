"""Weights on disk: reading, checking, converting and identifying them."""
