"""Which repository is meant, once routing has decided it."""

from dataclasses import dataclass

from mirror.oci.reference import RepositoryName


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as this server keeps it.

    ``upstream`` is the configured name of the registry it is pulled from (``docker.io``),
    ``None`` for a repository hosted here. Two repositories of the same name and different
    upstreams share nothing but bytes.
    """

    upstream: str | None
    name: RepositoryName

    def __str__(self) -> str:
        return f"{self.upstream}/{self.name}" if self.upstream else str(self.name)
