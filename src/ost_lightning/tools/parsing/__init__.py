"""One way of parsing for all tools: their names, their arguments and their help, without importing what they do."""
