"""One experiment from YAML and the command line."""
