"""Commands that recognize videos, find what happens when in long ones, and explain why."""
