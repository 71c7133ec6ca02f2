"""Imports of other libraries without what this package does not use of them."""
