"""Everything about hosted repositories, put together once, and pulls routed to it or past it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from mirror.ports.blobs import BlobStore
from mirror.ports.clock import Clock
from mirror.ports.hosting import Catalog
from mirror.registry.blobs import Blobs
from mirror.registry.catalog import RepositoryCatalog
from mirror.registry.custody import Custody
from mirror.registry.held import HeldManifests
from mirror.registry.hosted import Hosted, HostedFacts, HostedPorts
from mirror.registry.hosted_blobs import HostedBlobPorts, HostedBlobs, HostedLinks
from mirror.registry.hosted_manifests import HostedContent, HostedManifests
from mirror.registry.hosted_names import HostedNames
from mirror.registry.hosted_tags import HostedTags
from mirror.registry.immutable import ImmutableTags
from mirror.registry.manifests import Manifests
from mirror.registry.recorded_referrers import RecordedReferrers, ReferrerFacts
from mirror.registry.referrers import Referrers
from mirror.registry.routed import RoutedBlobs, RoutedManifests, RoutedReferrers, RoutedTags
from mirror.registry.statistics import Statistics
from mirror.registry.tags import Tags
from mirror.registry.usage import Usage


class HostingFacts(HostedFacts, HostedContent, HostedLinks, ReferrerFacts, Catalog, Protocol):
    """What all of it asks and changes."""


@dataclass(frozen=True, slots=True)
class HostingPorts:
    """What all of it works with. See ``HostedBlobPorts`` for ``renew_every``."""

    store: BlobStore
    facts: HostingFacts
    held: HeldManifests
    custody: Custody
    immutable: ImmutableTags
    clock: Clock
    usage: Usage
    statistics: Statistics
    renew_every: timedelta


@dataclass(frozen=True, slots=True)
class Proxied:
    """The use cases of proxied repositories."""

    manifests: Manifests
    blobs: Blobs
    tags: Tags
    referrers: Referrers


@dataclass(frozen=True, slots=True)
class Hosting:
    """``names`` are to be loaded before anything is served."""

    names: HostedNames
    hosted: Hosted
    catalog: RepositoryCatalog
    manifests: RoutedManifests
    blobs: RoutedBlobs
    tags: RoutedTags
    referrers: RoutedReferrers


def make_hosting(ports: HostingPorts, proxied: Proxied) -> Hosting:
    """Asks nothing of anybody."""
    facts, held = ports.facts, ports.held
    names = HostedNames(facts)
    hosted = HostedPorts(
        ports.store, facts, held, names, ports.custody, ports.immutable, ports.clock
    )
    manifests, tags = HostedManifests(names, held, facts), HostedTags(names, facts)
    blobs, referrers = HostedBlobs(_blob_ports(ports)), RecordedReferrers(held, facts)
    return Hosting(
        names=names,
        hosted=Hosted(hosted),
        catalog=RepositoryCatalog(facts),
        manifests=RoutedManifests(names, manifests, proxied.manifests),
        blobs=RoutedBlobs(names, blobs, proxied.blobs),
        tags=RoutedTags(names, tags, proxied.tags),
        referrers=RoutedReferrers(names, referrers, proxied.referrers),
    )


def _blob_ports(ports: HostingPorts) -> HostedBlobPorts:
    return HostedBlobPorts(
        store=ports.store,
        links=ports.facts,
        custody=ports.custody,
        clock=ports.clock,
        usage=ports.usage,
        statistics=ports.statistics,
        renew_every=ports.renew_every,
    )
