"""Removing memories for good: from the log, from all that was computed of them, and from where it was published."""
