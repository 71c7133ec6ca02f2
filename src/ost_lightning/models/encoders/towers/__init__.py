"""Parts that text and vision towers of several architectures have in common."""
