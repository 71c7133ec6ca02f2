"""From class names to Spatio-Temporal Descriptors, by any LLM behind an OpenAI-compatible server.

The `openai` package is imported by `server` only.
"""
