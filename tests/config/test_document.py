"""What a file can do to us, whether by accident or on purpose."""

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.config import load_config
from mirror.config.schema import all_keys
from tests.config.conftest import Folder, complaints_of

SHIPPED = (Path(__file__).parents[2] / "mirror.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("a:\n\tb: 1", "2:1: not valid YAML: ", "indent with spaces, not with tabs"),
        ("a: b: c", "1:5: not valid YAML: ", 'put a value that contains ": " in quotes'),
        ("hosted:\n  namespaces: [**]", "2:17: ", "begins with '*' must stand in quotes"),
        ("a: *b", "1:4: not valid YAML: ", "begins with '*' must stand in quotes"),
        ("a: @b", "1:4: not valid YAML: ", "begins with '@' must stand in quotes"),
        ("listen: [::1]:5000", "1:10: ", 'must stand in quotes: "[::1]:5000"'),
        ("a: 'b", "1:6: not valid YAML: found unexpected end of stream", ""),
        ("a\n---\nb", "2:1: not valid YAML: but found another document", ""),
        ("\x00", "1:1: the control character U+0000 is not allowed", ""),
        ("a: b\nc: é\x07", "2:5: the control character U+0007 is not allowed", ""),
        ("? [a]\n: b", "1:3: a key must be a plain word, not a list or a mapping", ""),
        ("data: !!binary eA==", "1:7: data: values with a tag", ""),
        ("data: !!python/object/apply:os.system [id]", "1:7: data: ", "not a list"),
        ("<<: 5", "1:5: <<: takes a mapping, or a list of them", ""),
    ],
)
def test_what_is_not_usable_yaml_is_told_with_its_position(
    folder: Folder, text: str, start: str, end: str
) -> None:
    told = folder.complaint(text)
    assert told.startswith(f"mirror.yaml:{start}")
    assert told.endswith(end)


def test_bytes_that_are_not_utf_8_are_told_with_their_position(folder: Folder) -> None:
    told = folder.complaint("offline: false # é\ndata: é".encode() + b"\xff")
    assert told.startswith("mirror.yaml:2:8: the file is not UTF-8 from here on")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings_are_refused(folder: Folder, encoding: str) -> None:
    folder.complaint("data: é".encode(encoding))


def test_a_byte_order_mark_moves_nothing(folder: Folder) -> None:
    assert folder.load(b"\xef\xbb\xbfoffline: true").offline
    assert folder.complaint(b"\xef\xbb\xbfoffline: 1").startswith("mirror.yaml:1:10: offline: ")


def test_line_ends_of_windows_are_line_ends(folder: Folder) -> None:
    assert folder.complaint("\r\noffline: 1\r\n").startswith("mirror.yaml:2:10: offline: ")


def test_duplicate_keys_are_refused_with_both_positions(folder: Folder) -> None:
    told = folder.complaints("cache:\n  min_free: 1\n  min_free: 2\ncache: {}\n")
    advice = "keep one of the two"
    assert told == [
        f"mirror.yaml:3:3: cache.min_free: given twice, first at line 2, column 3: {advice}",
        f"mirror.yaml:4:1: cache: given twice, first at line 1, column 1: {advice}",
    ]


def test_anchors_aliases_and_merges_work(folder: Folder) -> None:
    text = """
upstreams:
  docker.io: &hub {default: true, freshness: 1h, deny: &none [none]}
  ghcr.io: {<<: *hub, default: false, allow: *none}
  quay.io: {<<: [{freshness: 2h}, *hub], default: no}
"""
    upstreams = folder.load(text).upstreams
    hub, github, quay = upstreams.values()
    assert (github.freshness, github.deny, github.allow) == (hub.freshness, ("none",), ("none",))
    assert (quay.freshness, quay.deny) == (2 * hub.freshness, ("none",))
    assert [upstream.default for upstream in upstreams.values()] == [True, False, False]


def test_a_mistake_behind_an_alias_is_told_where_it_is_written(folder: Folder) -> None:
    text = "upstreams:\n  docker.io: {freshness: &f 5}\ntimeouts: {connect: *f}"
    assert [told.split(": ")[:2] for told in folder.complaints(text)] == [
        ["mirror.yaml:2:26", "upstreams.docker.io.freshness"],
        ["mirror.yaml:2:26", "timeouts.connect"],
    ]


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}", "&a [[*a]]"])
def test_what_contains_itself_is_too_deep(folder: Folder, text: str) -> None:
    assert "nested more than 32 deep" in folder.complaint(text)


def test_a_billion_laughs_are_counted(folder: Folder) -> None:
    lines = ["a0: &a0 ha"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "more than 50000 keys and values, counting aliases" in folder.complaint("\n".join(lines))


def test_merged_laughs_are_counted(folder: Folder) -> None:
    lines = ["a0: &a0 {ha: ha}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    assert "more than 50000 keys and values, counting aliases" in folder.complaint("\n".join(lines))


@pytest.mark.parametrize("unit", ["[", "{", "- ", "? ", "{a: ", "[[{"])
def test_depth_is_bounded_before_anything_calls_itself(folder: Folder, unit: str) -> None:
    assert "nested more than 32 deep" in folder.complaint(unit * ((1 << 20) // len(unit)))


def test_a_megabyte_of_small_values_is_refused_early(folder: Folder) -> None:
    assert "more than 50000" in folder.complaint("a: [" + "b," * 400_000 + "]")


def test_a_file_is_at_most_a_megabyte(folder: Folder) -> None:
    assert folder.load("#" * (1 << 20)) == load_config(None, {})
    assert folder.complaint("#" * (1 << 20) + "#") == "mirror.yaml: the file is larger than 1 MiB"


def test_an_endless_file_is_a_large_one() -> None:
    assert complaints_of(Path("/dev/zero")) == ["/dev/zero: the file is larger than 1 MiB"]


def test_ten_thousand_unknown_keys_are_ten_thousand_problems(folder: Folder) -> None:
    told = folder.complaints("".join(f"max_siz{n}: 1\n" for n in range(10_000)))
    assert len(told) == 10_000
    assert told[-1].startswith("mirror.yaml:10000:1: max_siz9999: unknown key")


def test_hostile_names_neither_disturb_a_terminal_nor_fill_it(folder: Folder) -> None:
    told = folder.complaint('"\\e[2J\\u202e' + "x" * 10_000 + '": 1')
    assert told.isprintable()
    assert len(told) < 300


def load_or_refuse(text: str) -> None:
    """Anything but `ConfigError` fails the test that asked."""
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.flush()
        assert all(told.isprintable() for told in complaints_of(Path(file.name)))


@given(st.text(max_size=200))
def test_any_text_loads_or_is_a_configuration_error(text: str) -> None:
    load_or_refuse(text)


@given(st.text(alphabet=st.sampled_from(list("ab:- \n\t[]{}&*!|>'\"%@`#,?~<0.")), max_size=80))
def test_anything_like_yaml_loads_or_is_a_configuration_error(text: str) -> None:
    load_or_refuse(text)


NAMES = ("docker.io", "ghcr.io", "local", "a/b")
KEYS = st.sampled_from(sorted({key for path in all_keys() for key in map(str, path)} | set(NAMES)))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=9)
WRITTEN = st.sampled_from(["5m", "1GiB", "90%", "**", "docker.io/**", "http://a.b", "::1", "true"])
VALUES = st.recursive(
    SCALARS | WRITTEN,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(KEYS | st.text(max_size=5) | st.integers(), below, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=300)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_values_under_real_keys_load_or_are_a_configuration_error(value: object) -> None:
    load_or_refuse(yaml.safe_dump(value, allow_unicode=True))


@settings(max_examples=200)
@given(st.data())
def test_the_shipped_file_with_a_slip_loads_or_is_a_configuration_error(
    data: st.DataObject,
) -> None:
    start = data.draw(st.integers(0, len(SHIPPED)))
    stop = data.draw(st.integers(start, min(len(SHIPPED), start + 40)))
    slip = data.draw(st.text(max_size=5))
    load_or_refuse(SHIPPED[:start] + slip + SHIPPED[stop:])
