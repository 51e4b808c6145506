"""The pure core against its specifications, an independent implementation, and hostile input."""
