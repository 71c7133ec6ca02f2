"""One self-contained page about one or several test runs."""
