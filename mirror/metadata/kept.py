"""What of a value is kept when it is stored."""

from dataclasses import replace

from mirror.oci.manifest import Descriptor
from mirror.ports.metadata import TagRecord


def kept_descriptor(descriptor: Descriptor) -> Descriptor:
    """All but the platform, which is a fact about the index that told it."""
    return replace(descriptor, platform=None)


def kept_record(record: TagRecord) -> TagRecord:
    return replace(record, descriptor=kept_descriptor(record.descriptor))
