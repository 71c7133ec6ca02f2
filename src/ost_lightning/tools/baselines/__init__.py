"""Commands that baselines need: bags of words, and heads on features of other networks."""
