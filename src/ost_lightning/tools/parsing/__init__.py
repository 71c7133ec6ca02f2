"""Parsing of all tools' names, arguments and help, without importing their implementation."""
