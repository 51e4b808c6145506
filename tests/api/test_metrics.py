"""``GET /metrics``: the figures of the statistics, as Prometheus reads them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from mirror.ports.upstream import Quota
from mirror.registry.statistics import Result
from tests.api.admin_client import AdminClient
from tests.api.conftest import Connect
from tests.api.services import MemoryMirror, Wishes, make_mirror, repository
from tests.registry.scripted_upstream import WELL
from tests.simulated_hub import blob, make_image
from tests.world import START

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
IMAGE = make_image(layers=[blob("layer", 5000)])

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def parse_openmetrics(text: str) -> list[Metric]:
    return list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call] # the library left it out


def parse(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(client: AdminClient) -> Series:
    reply = await client.get("/metrics")
    assert reply.status == 200
    return parse(reply.text)


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


async def test_counters_have_their_labels(mirror: MemoryMirror, client: AdminClient) -> None:
    statistics = mirror.services.statistics
    statistics.answered("docker.io", "manifest", Result.HIT)
    statistics.answered("docker.io", "manifest", Result.HIT)
    statistics.answered("ghcr.io", "blob", Result.MISS)
    statistics.answered(None, "other", Result.ERROR)
    statistics.served("ghcr.io", "blob", Result.MISS, 700)
    statistics.fetched("ghcr.io", "blob", 600)
    statistics.counted("evicted_bytes", count=40)
    statistics.counted("evicted", count=4)
    statistics.counted("quarantined", "docker.io")
    statistics.counted("quarantined")
    series = await scrape(client)
    requests = "mirror_requests_total"
    assert value(series, requests, upstream="docker.io", kind="manifest", result="hit") == 2
    assert value(series, requests, upstream="ghcr.io", kind="blob", result="miss") == 1
    assert value(series, requests, upstream="", kind="other", result="error") == 1
    served = "mirror_bytes_served_total"
    assert value(series, served, upstream="ghcr.io", kind="blob", result="miss") == 700
    fetched = "mirror_bytes_from_upstream_total"
    assert value(series, fetched, upstream="ghcr.io", kind="blob") == 600
    assert value(series, "mirror_evicted_bytes_total") == 40
    assert value(series, "mirror_evicted_total") == 4
    assert value(series, "mirror_quarantined_total") == 2


async def test_what_is_stored_is_measured_at_each_scrape(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    assert value(await scrape(client), "mirror_storage_bytes") == 0
    await mirror.hold(repository("docker.io/library/nginx"), "latest", IMAGE)
    series = await scrape(client)
    stored = IMAGE.size + sum(map(len, IMAGE.blobs.values()))
    assert value(series, "mirror_storage_bytes") == stored
    assert value(series, "mirror_storage_hosted_bytes") == 0
    assert value(series, "mirror_storage_blobs") == 3
    assert value(series, "mirror_storage_manifests") == 1
    assert value(series, "mirror_storage_repositories") == 1
    assert value(series, "mirror_storage_max_bytes") == 1 << 30
    assert value(series, "mirror_storage_min_free_bytes") == 1 << 20
    assert value(series, "mirror_storage_free_bytes") == (1 << 30) - stored
    assert value(series, "mirror_fills") == 0


async def test_an_upstream_is_watched(mirror: MemoryMirror, client: AdminClient) -> None:
    mirror.upstreams["docker.io"].status_now = replace(
        WELL, state="failing", reason="down", requests=9, errors=3, bytes=1000, tokens=2
    )
    series = await scrape(client)
    assert value(series, "mirror_upstream_up", upstream="docker.io") == 0
    assert value(series, "mirror_upstream_up", upstream="ghcr.io") == 1
    assert value(series, "mirror_upstream_requests_total", upstream="docker.io") == 9
    assert value(series, "mirror_upstream_errors_total", upstream="docker.io") == 3
    assert value(series, "mirror_upstream_bytes_total", upstream="docker.io") == 1000
    assert value(series, "mirror_upstream_tokens_total", upstream="docker.io") == 2


async def test_a_quota_is_absent_until_it_is_seen(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    assert not any("quota" in name for name, _ in await scrape(client))
    quota = Quota(100, 0, 21600, "an-account", START)
    mirror.upstreams["docker.io"].status_now = replace(WELL, quota=quota)
    reply = await client.get("/metrics")
    series = parse(reply.text)
    assert value(series, "mirror_upstream_quota_limit", upstream="docker.io") == 100
    assert value(series, "mirror_upstream_quota_remaining", upstream="docker.io") == 0
    observed = "mirror_upstream_quota_observed_timestamp_seconds"
    assert value(series, observed, upstream="docker.io") == START.timestamp()
    assert value(series, "mirror_upstream_quota_limit", upstream="ghcr.io") is None
    assert "an-account" not in reply.text


async def test_the_process_is_watched_too(client: AdminClient) -> None:
    series = await scrape(client)
    assert (value(series, "process_resident_memory_bytes") or 0) > 0
    assert any(name == "python_info" for name, _ in series)
    assert any(name == "mirror_build_info" for name, _ in series)


async def test_an_offline_mirror_says_so(connect: Connect) -> None:
    client = await connect(make_mirror(Wishes(offline=True)))
    assert value(await scrape(client), "mirror_offline") == 1


async def test_mirrors_in_one_process_do_not_see_each_other(connect: Connect) -> None:
    before = {metric.name for metric in REGISTRY.collect()}
    first, second = make_mirror(), make_mirror()
    first.services.statistics.counted("evicted", count=7)
    assert value(await scrape(await connect(first)), "mirror_evicted_total") == 7
    assert value(await scrape(await connect(second)), "mirror_evicted_total") == 0
    assert {metric.name for metric in REGISTRY.collect()} == before


async def test_both_formats_are_well_formed(client: AdminClient) -> None:
    plain = await client.get("/metrics", Accept="text/plain")
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert plain.headers["Cache-Control"] == "no-store"
    open_metrics = await client.get("/metrics", Accept=OPENMETRICS)
    assert open_metrics.headers["Content-Type"].startswith("application/openmetrics-text")
    parsed = parse_openmetrics(open_metrics.text)
    samples = {sample.name for family in parsed for sample in family.samples}
    assert samples >= {name for name, _ in parse(plain.text)}


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/html", "application/openmetrics-text; version=x", ";;,=", "a" * 4000],
)
async def test_any_accept_header_gets_an_answer(client: AdminClient, accept: str) -> None:
    assert (await client.get("/metrics", Accept=accept)).status == 200


async def test_a_hostile_name_stays_within_its_label(connect: Connect) -> None:
    name = 'x"} 1\nevil{a="b\\'
    series = await scrape(await connect(make_mirror(Wishes(upstreams=("docker.io", name)))))
    assert value(series, "mirror_upstream_up", upstream=name) == 1
    assert not any(found.startswith("evil") for found, _ in series)
