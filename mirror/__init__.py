"""A pull-through mirror of Docker Hub and a private registry on one address."""
