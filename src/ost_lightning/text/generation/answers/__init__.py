"""Reading an LLM's answer: from the body of a response to a list of descriptors, or the reason why there is none."""
