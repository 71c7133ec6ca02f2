"""Results of runs: what `results.json` holds, and tables of your own runs next to published figures."""
