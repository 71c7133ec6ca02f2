"""Commands that write weights in other formats."""
