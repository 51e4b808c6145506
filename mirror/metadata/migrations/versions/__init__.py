"""One module per version, named for what it brings."""
