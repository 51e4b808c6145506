"""Protocols between the use cases and the world, with the values and errors that cross them."""
