"""The command `ost demo`: its options, its runs and its last page."""
