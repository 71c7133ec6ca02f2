"""Commands that recognize videos, and explain why."""
