"""Commands for libraries of videos."""
