"""``GET /api/v1/openapi.json``: the admin API described for programs.

Paths are written here; what they take and answer is made from the classes in ``documents``.
https://spec.openapis.org/oas/v3.1.1.html
"""

import functools
import inspect
from typing import Any

import msgspec
from aiohttp import web

from mirror.api import documents
from mirror.api.rendering import encoded_answer
from mirror.api.version import version

SCHEMA_PATH = "#/components/schemas/{name}"

DOCUMENTS = (
    documents.Stats,
    documents.Images,
    documents.Eviction,
    documents.EvictionRequest,
    documents.Collection,
    documents.CollectionRequest,
    documents.Problems,
)

DESCRIPTION = """\
For clients in auth.trusted_networks; everyone else gets 403 with the line to add. The address of
the connection counts, and requests that came through a proxy are refused. Times are ISO 8601.
"""

PAGE = [
    {
        "name": "n",
        "in": "query",
        "description": "How many images to list at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    },
    {
        "name": "last",
        "in": "query",
        "description": "The next of the page before.",
        "schema": {"type": "string"},
    },
]

IMAGE_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": (
        "nginx, docker.io/library/nginx, ghcr.io/team/app: slashes are part of it. A :tag or"
        " @digest behind it asks for the images of that name alone, in one page."
    ),
    "schema": {"type": "string"},
}

DRY_RUN = {
    "name": "dry_run",
    "in": "query",
    "description": "Instead of a body.",
    "schema": {"type": "boolean", "default": False},
}


async def get_description(request: web.Request) -> web.Response:  # noqa: ARG001 - it is the same for everyone
    return encoded_answer(_encoded())


@functools.cache
def _encoded() -> bytes:
    return msgspec.json.encode(describe())


def describe() -> dict[str, Any]:
    """The OpenAPI document."""
    return {
        "openapi": "3.1.1",
        "info": {"title": "mirror admin API", "version": version(), "description": DESCRIPTION},
        "paths": {
            "/api/v1/stats": {"get": _stats()},
            "/api/v1/images": {"get": _images()},
            "/api/v1/images/{name}": {"get": _images_of()},
            "/api/v1/evict": {"post": _evict()},
            "/api/v1/gc": {"post": _collect()},
            "/api/v1/openapi.json": {"get": _description()},
        },
        "components": {
            "schemas": _schemas(),
            "responses": {"Problem": _answer("Why there is no answer.", documents.Problems)},
        },
    }


def _stats() -> dict[str, Any]:
    return {
        "operationId": "getStats",
        "summary": "What the mirror did and does, and what it holds",
        "responses": {"200": _answer("The figures of now.", documents.Stats), **_problems()},
    }


def _images() -> dict[str, Any]:
    return {
        "operationId": "listImages",
        "summary": "What is stored, by repository and tag",
        "parameters": PAGE,
        "responses": {"200": _answer("A page of images.", documents.Images), **_problems("400")},
    }


def _images_of() -> dict[str, Any]:
    return {
        "operationId": "getImages",
        "summary": "What is stored of one repository",
        "parameters": [IMAGE_NAME, *PAGE],
        "responses": {
            "200": _answer("A page of images.", documents.Images),
            **_problems("400", "404"),
        },
    }


def _evict() -> dict[str, Any]:
    return {
        "operationId": "evict",
        "summary": "Make room where a limit is exceeded, or say what would go",
        "parameters": [DRY_RUN],
        "requestBody": {"content": _content(documents.EvictionRequest)},
        "responses": {
            "200": _answer("What went, or would go.", documents.Eviction),
            **_problems("400"),
        },
    }


def _collect() -> dict[str, Any]:
    return {
        "operationId": "collectGarbage",
        "summary": "Delete what was pushed and is not needed any more, or say what would go",
        "parameters": [DRY_RUN],
        "requestBody": {"content": _content(documents.CollectionRequest)},
        "responses": {
            "200": _answer("What went, or would go.", documents.Collection),
            **_problems("400"),
        },
    }


def _description() -> dict[str, Any]:
    return {
        "operationId": "getDescription",
        "summary": "This document",
        "responses": {
            "200": {
                "description": "An OpenAPI document.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_problems(),
        },
    }


def _answer(description: str, document: type[msgspec.Struct]) -> dict[str, Any]:
    return {"description": description, "content": _content(document)}


def _content(document: type[msgspec.Struct]) -> dict[str, Any]:
    reference = {"$ref": SCHEMA_PATH.format(name=document.__name__)}
    return {"application/json": {"schema": reference}}


def _problems(*statuses: str) -> dict[str, Any]:
    """403 and 503 may come from everywhere."""
    reference = {"$ref": "#/components/responses/Problem"}
    return dict.fromkeys(sorted({"403", "503", *statuses}), reference)


def _schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(DOCUMENTS, ref_template=SCHEMA_PATH)
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema["description"])
    return schemas
