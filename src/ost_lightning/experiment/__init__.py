"""Experiments from YAML and the command line. Importing this package alone imports nothing heavy."""
