"""What keeps a server from starting: exit code 2 and one line that says what to do."""

import os
import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.life.process import Nursery, order, running_program, running_server
from tests.life.tracing import traced
from tests.requirements import needs_strace

NOBODY = 65534


async def refusal(
    nursery: Nursery,
    data: Path,
    environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] = ("serve",),
) -> list[str]:
    """What it prints when it does not start."""
    async with running_program(nursery, order(data, environ or {}, arguments)) as program:
        assert await program.ended() == 2, program.lines
        assert not any("Traceback" in line for line in program.lines)
        return program.lines


async def one_line(
    nursery: Nursery,
    data: Path,
    environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] = ("serve",),
) -> str:
    [line] = await refusal(nursery, data, environ, arguments)
    return line


# The address.


async def test_the_port_is_in_use(nursery: Nursery, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"

        line = await one_line(nursery, tmp_path / "data", {"MIRROR__LISTEN": address})

    assert line == (
        f"Error: {address} is in use by another program; stop it, or choose another port with the"
        " key listen"
    )


async def test_the_address_is_not_of_this_machine(nursery: Nursery, tmp_path: Path) -> None:
    line = await one_line(nursery, tmp_path / "data", {"MIRROR__LISTEN": "192.0.2.1:5000"})

    assert line == (
        "Error: 192.0.2.1:5000 is not an address of this machine; change the key listen"
    )


# The data folder.


async def test_another_server_uses_the_folder(nursery: Nursery, tmp_path: Path) -> None:
    async with running_server(nursery, order(tmp_path, {})) as server:
        line = await one_line(nursery, tmp_path)

        assert line == (
            f"Error: the data folder {tmp_path} is in use by another server (process"
            f" {server.program.process}); stop that one, or give this one a folder of its own with"
            " the key data"
        )


async def test_a_killed_server_leaves_no_lock(nursery: Nursery, tmp_path: Path) -> None:
    async with running_server(nursery, order(tmp_path, {})) as server:
        await server.program.kill()
    assert (tmp_path / "lock").read_text() == f"{server.program.process}\n"

    async with running_server(nursery, order(tmp_path, {})) as server:
        assert await server.program.stop() == 0


async def test_the_folder_is_a_file(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")

    line = await one_line(nursery, tmp_path / "data")

    assert line.startswith(f"Error: the data folder {tmp_path}/data cannot be written: ")
    assert (tmp_path / "data").read_text() == "not a folder"


@pytest.fixture
def others_folder() -> Iterator[Path]:
    """A folder that everyone may read and only its owner may write, where everyone can reach it."""
    with TemporaryDirectory(prefix="mirror-") as name:
        data = Path(name) / "data"
        data.mkdir()
        Path(name).chmod(0o755)
        data.chmod(0o555)
        yield data
        data.chmod(0o755)


async def test_the_folder_is_not_ours(nursery: Nursery, others_folder: Path) -> None:
    user = None if os.getuid() else NOBODY

    async with running_program(nursery, order(others_folder, {}, user=user)) as program:
        assert await program.ended() == 2
        [line] = program.lines
    assert line == (
        f"Error: the data folder {others_folder} cannot be written: Permission denied; make it"
        " writable for the user the server runs as, or name another one"
    )


@needs_strace
async def test_the_file_system_knows_no_locks(nursery: Nursery, tmp_path: Path) -> None:
    no_locks = ("-e", "trace=flock", "-e", "inject=flock:error=ENOLCK")
    halted = order(tmp_path, {}, is_halted=True)
    async with running_program(nursery, halted) as program, traced(program, None, *no_locks):
        assert await program.ended() == 2
        [line] = program.lines
    assert line == (
        f"Error: {tmp_path}/lock cannot be locked: No locks available; put the data folder on a"
        " file system of this machine"
    )


async def test_the_lock_is_a_folder(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()

    assert str(tmp_path / "lock") in await one_line(nursery, tmp_path)


# The metadata.


async def used(nursery: Nursery, data: Path) -> Path:
    """The metadata of a server that has run here."""
    async with running_server(nursery, order(data, {})) as server:
        assert await server.program.stop() == 0
    return data / "metadata.db"


async def test_a_later_version_wrote_the_metadata(nursery: Nursery, tmp_path: Path) -> None:
    path = await used(nursery, tmp_path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    before = path.read_bytes()

    line = await one_line(nursery, tmp_path)

    assert line.startswith("Error: the metadata have version 9999")
    assert path.read_bytes() == before


async def test_the_metadata_are_of_another_program(nursery: Nursery, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
        database.commit()

    line = await one_line(nursery, tmp_path)

    assert "a database of another program" in line


DAMAGES: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("This is no database. " * 1000),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut after the header": lambda path: os.truncate(path, 200),
    "overwritten in the middle": lambda path: overwrite(path, 4096, b"\xff" * 8192),
}


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_metadata_are_damaged(nursery: Nursery, tmp_path: Path, damage: str) -> None:
    path = await used(nursery, tmp_path)
    DAMAGES[damage](path)

    line = await one_line(nursery, tmp_path)

    assert str(path) in line
    assert "move the file away" in line


async def test_the_metadata_are_a_folder(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "metadata.db").mkdir()

    assert "metadata.db is not a file" in await one_line(nursery, tmp_path)


# The configuration.


async def test_every_mistake_has_its_place(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "mirror.yaml"
    path.write_text(
        "offline: perhaps\n"
        "cache:\n"
        "  max_size: lots\n"
        "  colour: red\n"
        "upstreams:\n"
        "  docker.io: {freshness: 5}\n"
    )

    lines = await refusal(nursery, tmp_path / "data", {}, ["serve", "--config", str(path)])

    places = [re.match(rf"{re.escape(str(path))}:(\d+):(\d+): ([\w.]+): ", line) for line in lines]
    assert [place and place.groups() for place in places] == [
        ("1", "10", "offline"),
        ("3", "13", "cache.max_size"),
        ("4", "3", "cache.colour"),
        ("6", "26", "upstreams.docker.io.freshness"),
    ]


async def test_a_variable_of_the_environment_is_wrong(nursery: Nursery, tmp_path: Path) -> None:
    line = await one_line(nursery, tmp_path / "data", {"MIRROR__CACHE__MAX_SIZE": "lots"})

    assert line.startswith("MIRROR__CACHE__MAX_SIZE: cache.max_size: ")


async def test_an_upstream_has_an_address_that_is_none(nursery: Nursery, tmp_path: Path) -> None:
    upstreams = {"MIRROR__UPSTREAMS": '{docker.io: {url: "https://0x7f.1"}}'}

    line = await one_line(nursery, tmp_path / "data", upstreams)

    assert "upstreams.docker.io" in line
    assert "https://0x7f.1" in line


async def test_there_is_no_such_configuration(nursery: Nursery, tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"

    line = await one_line(nursery, tmp_path / "data", {}, ["serve", "--config", str(missing)])

    assert str(missing) in line


async def test_a_password_cannot_be_read(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "mirror.yaml"
    path.write_text(
        "upstreams:\n  docker.io:\n    credentials: {username: team, password_file: nowhere}\n"
    )

    line = await one_line(nursery, tmp_path / "data", {}, ["serve", "--config", str(path)])

    assert line.startswith(f"{path}:3:50: upstreams.docker.io.credentials.password_file: ")
    assert line.endswith(" cannot be read: No such file or directory")


async def test_an_unknown_option(nursery: Nursery, tmp_path: Path) -> None:
    lines = await refusal(nursery, tmp_path / "data", {}, ["serve", "--prot", "5000"])

    assert "No such option" in lines[-1]
