"""What crosses layers is a value: frozen, without a dictionary, and fit to be a key."""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest

import mirror.oci

MODULES = [
    importlib.import_module(f"mirror.oci.{module.name}")
    for module in pkgutil.iter_modules(mirror.oci.__path__)
]
VALUES = [
    value
    for module in MODULES
    for _, value in inspect.getmembers(module, dataclasses.is_dataclass)
    if isinstance(value, type) and value.__module__ == module.__name__
]


def test_all_values_are_looked_at() -> None:
    names = {value.__name__ for value in VALUES}
    assert names >= {"ByteRange", "Challenge", "Descriptor", "Digest", "ImageName", "Manifest"}
    assert names >= {"Page", "Platform", "References", "RepositoryName", "Scope", "Tag"}


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_frozen_slotted_and_hashable(value: type) -> None:
    fields = dataclasses.fields(value)
    made = value(*(field.name for field in fields))

    assert not hasattr(made, "__dict__")
    assert hash(made) == hash(value(*(field.name for field in fields)))
    for field in fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, None)
