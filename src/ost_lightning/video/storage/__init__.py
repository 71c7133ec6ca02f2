"""Where videos are stored: paths, URLs, members of tar shards."""
