"""Tools of the `ost` command beside experiments: one thin module per group of commands."""
