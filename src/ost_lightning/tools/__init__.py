"""What the `ost` command offers beside experiments: one module a group of commands, thin over the floors below."""
