"""Frames out of files: exact, sparse reading with PyAV."""
