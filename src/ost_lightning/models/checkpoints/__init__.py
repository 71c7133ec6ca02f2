"""Weights on disk: reading, checking, converting and fingerprinting them."""
