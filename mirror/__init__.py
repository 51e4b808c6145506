"""A pull-through mirror of Docker Hub and other registries, and a private registry."""
