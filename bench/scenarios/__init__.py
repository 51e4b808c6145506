"""One module for each question."""
