"""From class names to Spatio-Temporal Descriptors, with any LLM behind an OpenAI-compatible server.

Only `server` imports the `openai` package.
"""
