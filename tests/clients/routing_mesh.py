"""The routing mesh of a swarm, and what takes its place on kernels without IPVS.

Docker makes it of IPVS, and without that nothing leads to the ingress network, though the tasks are
in it. What takes its place leads to one task, and by the same way: through the ingress sandbox,
whose address is all that the task sees of its clients.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from tests.clients.docker import Docker
from tests.clients.programs import clean_environment, find_program, run
from tests.clients.relay import relayed

IPVS = Path("/proc/net/ip_vs")
SANDBOX = "ingress-sbox"


@contextlib.asynccontextmanager
async def routed(manager: Docker, service: str, port: int) -> AsyncIterator[None]:
    """The port on loopback leads to the service, which has one healthy task, on this machine."""
    if IPVS.exists():  # noqa: ASYNC240 - /proc does not wait
        yield
        return
    task = await address(manager, "ingress", f"{service}.1.")
    await nat(manager, "--flush", "PREROUTING")
    await nat(manager, "--flush", "POSTROUTING")
    there = ("--protocol", "tcp", "--dport", str(port))
    target = ("--jump", "DNAT", "--to-destination", f"{task}:{port}")
    await nat(manager, "--append", "PREROUTING", *there, *target)
    await nat(manager, "--append", "POSTROUTING", "--destination", task, "--jump", "MASQUERADE")
    sandbox = await address(manager, "docker_gwbridge", SANDBOX)
    async with relayed("127.0.0.1", f"{sandbox}:{port}", port):
        yield


async def address(manager: Docker, network: str, name: str) -> str:
    """Of the container whose name begins so, in the network."""
    form = ("--format", "{{json .Containers}}")
    found = (await manager.command("network", "inspect", *form, network)).checked()
    containers = json.loads(found.output)
    (known,) = (
        each["IPv4Address"]
        for key, each in containers.items()
        if key == name or each["Name"].startswith(name)
    )
    return str(known).partition("/")[0]


async def nat(manager: Docker, *rule: str) -> None:
    """In the network namespace of the sandbox."""
    namespace = f"--net={manager.daemon.folder}/exec/netns/ingress_sbox"
    argv = (find_program("nsenter"), namespace, find_program("iptables"), "--table", "nat", *rule)
    (await run(argv, clean_environment(manager.config))).checked()
