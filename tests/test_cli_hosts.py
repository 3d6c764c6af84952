"""The commands on hosts: what sample, assess and verify print, write and refuse."""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import hostrisk
from hostrisk.cli import main

if TYPE_CHECKING:
    from click.testing import Result

for needed in ("scipy", "statsmodels", "matplotlib"):
    pytest.importorskip(needed, reason='needs pip install "hostrisk[host]"')

DEMO = Path(__file__).parents[1] / "data" / "demo" / "host.csv"
REPORT = {"report.html", "report.md", "assessment.json"}
DETAILS = "Write to ann.lee@example.org or @ann_lee99: we will shoot them all on Saturday at noon"
COLUMNS = '[columns]\ntext = "body"\ntime = "posted"\nid = "key"\nremoved = false\n'
SELECT = "SELECT id, created_at, text, views, reported_at, removed_at FROM posts"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert all(line.startswith("hostrisk: ") for line in result.stderr.splitlines())
    return result


def complaint(*arguments: object, status: int = 1) -> str:
    """Return the one sentence with which a command fails."""
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("hostrisk: error: ")
    assert result.stdout == ""
    return line.removeprefix("hostrisk: error: ")


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with what it holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def record_in(folder: Path):
    return json.loads((folder / "assessment.json").read_text(encoding="utf-8"))


def write(path: Path, rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def rows():
    """Some weeks of the made-up host, one post with what must not be passed on."""
    with DEMO.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))[3200:5200:4]
    return [*found, {**found[0], "id": "last", "text": DETAILS}, {**found[1], "created_at": ""}]


@pytest.fixture(scope="module")
def home(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write(folder / "posts.csv", rows)
    labels = [{"id": row["id"], "label": row["violent"]} for row in rows[:-1:3]]
    write(folder / "labels.csv", labels)
    renamed = [
        {"key": row["id"], "posted": row["created_at"], "body": row["text"], "site": "ab"[at % 2],
         "removed_at": "not a time"}
        for at, row in enumerate(rows[:-1])
    ]  # fmt: skip
    write(folder / "renamed.csv", renamed)
    (folder / "columns.toml").write_text(COLUMNS, encoding="utf-8")
    (folder / "policy.toml").write_text('name = "mine"\nthreshold = 0.5\n', encoding="utf-8")
    (folder / "wrong.toml").write_text("treshold = 0.5\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def posts(home):
    return home / "posts.csv"


@pytest.fixture(scope="module")
def assessed(home, posts):
    """An assessment with labels and a packet, and what was said of it."""
    out = home / "assessed"
    result = done("assess", posts, "--labels", home / "labels.csv", "--out", out, "--name",
                  "harbour.example", "--packet", out / "packet.zip")  # fmt: skip
    return out, result


@pytest.fixture(scope="module")
def database(rows, home):
    path = home / "posts.db"
    with closing(sqlite3.connect(path)) as opened, opened:
        names = list(rows[0])
        opened.execute(f"CREATE TABLE posts ({', '.join(names)})")
        opened.executemany(
            f"INSERT INTO posts VALUES ({', '.join('?' * len(names))})",
            [[value or None for value in row.values()] for row in rows],
        )
    return path


# --- sample --------------------------------------------------------------------------------------


def read(path: Path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_sample_writes_the_columns_that_are_documented(posts, tmp_path) -> None:
    out = tmp_path / "review.csv"
    result = done("sample", posts, "--n", 60, "--out", out)
    assert result.stdout == ""
    assert result.stderr == (
        f"hostrisk: 60 posts written to {out}; label them with: hostrisk review {out}\n"
    )
    drawn = read(out)
    assert list(drawn[0]) == ["id", "text", "inclusion_probability", "stratum", "host"]
    assert len({row["id"] for row in drawn}) == 60
    texts = {row["id"]: row["text"] for row in read(posts)}
    assert all(texts[row["id"]] == row["text"] for row in drawn)
    assert all(0 < float(row["inclusion_probability"]) <= 1 for row in drawn)
    assert {row["host"] for row in drawn} == {"host"}


def test_sample_is_that_of_the_library_and_of_its_seed(posts, tmp_path) -> None:
    one, same, other = (tmp_path / f"{name}.csv" for name in ("one", "same", "other"))
    done("sample", posts, "--n", 40, "--out", one, "--seed", 7)
    done("sample", posts, "--n", 40, "--out", same, "--seed", 7, "--threads", 2)
    done("sample", posts, "--n", 40, "--out", other)
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()
    assert [row["id"] for row in read(one)] == hostrisk.sample(posts, 40, seed=7)["id"].to_pylist()


def test_sample_of_more_than_there_is(posts, rows, tmp_path) -> None:
    done("sample", posts, "--n", 10_000, "--out", tmp_path / "all.csv")
    drawn = read(tmp_path / "all.csv")
    assert {float(row["inclusion_probability"]) for row in drawn} == {1.0}
    assert len(drawn) == len({row["id"] for row in rows if row["text"].strip()})


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "tsv"])
def test_sample_in_other_formats(posts, tmp_path, ending) -> None:
    from pyarrow import parquet

    out = tmp_path / f"review.{ending}"
    done("sample", posts, "--n", 20, "--out", out)
    if ending == "parquet":
        assert parquet.read_table(out)["inclusion_probability"].type == "double"
    else:
        assert out.read_text(encoding="utf-8").count("\n") == 20 + (ending == "tsv")


def test_sample_of_several_hosts_by_other_columns(home, tmp_path) -> None:
    out = tmp_path / "review.csv"
    done("sample", home / "renamed.csv", "--out", out, "--n", 50, "--columns",
         home / "columns.toml", "--host", "site")  # fmt: skip
    assert sorted(row["host"] for row in read(out)) == ["a"] * 25 + ["b"] * 25
    done("sample", home / "renamed.csv", "--out", out, "--n", 10, "--text", "body", "--time",
         "posted", "--id", "key", "--name", "harbour.example", "--removed", "posted")  # fmt: skip
    assert {row["host"] for row in read(out)} == {"harbour.example"}


def test_a_sample_that_was_labeled_is_read_back(posts, rows, tmp_path) -> None:
    out = tmp_path / "review.csv"
    done("sample", posts, "--n", 100, "--out", out)
    truth = {row["id"]: row["violent"] for row in rows}
    write(out, [{**row, "label": truth[row["id"]]} for row in read(out)])
    done("assess", posts, "--labels", out, "--out", tmp_path / "report", "--exemplars", 0)
    record = record_in(tmp_path / "report")
    assert record["labels"]["reviewed"] == 100
    assert record["labels"]["design"] == "stratified"
    assert record["hosts"][0]["overall"]["method"] == "reviewed sample"


# --- assess --------------------------------------------------------------------------------------


def test_assess_writes_a_report_and_a_packet(assessed) -> None:
    out, _ = assessed
    assert set(files(out)) == REPORT | {"packet.zip"}
    record = record_in(out)
    assert record["hosts"][0]["host"] == "harbour.example"
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (out / "report.md").read_text(encoding="utf-8").startswith("# ")
    with zipfile.ZipFile(out / "packet.zip") as packet:
        for name in REPORT:
            assert packet.read(name) == (out / name).read_bytes()


def test_assess_is_that_of_the_library(home, assessed) -> None:
    found = hostrisk.assess(home / "posts.csv", home / "labels.csv", name="harbour.example")
    assert record_in(assessed[0]) == json.loads(json.dumps(found.record))


def test_standard_error_tells_tier_and_defects(assessed) -> None:
    out, result = assessed
    record = record_in(out)
    host = record["hosts"][0]
    lines = result.stderr.splitlines()
    assert lines[0] == f"hostrisk: harbour.example: {host['tier']}. {host['summary']}"
    found = {defect["kind"]: defect["count"] for defect in record["defects"]}
    assert found["duplicate_id"] == 1
    for defect in record["defects"]:
        what = "post" if defect["count"] == 1 else "posts"
        assert f"hostrisk: {defect['count']:,} {what}: {defect['meaning']}" in lines
    assert f"hostrisk: report written to {out / 'report.html'}" in lines


def test_standard_output_is_the_root_hash_alone(assessed, posts, tmp_path) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}\n", assessed[1].stdout)
    result = done("assess", posts, "--out", tmp_path / "report", "--exemplars", 0)
    assert result.stdout == ""
    assert set(files(tmp_path)) == {f"report/{name}" for name in REPORT}


def test_settings_reach_the_assessment(home, posts, assessed, tmp_path) -> None:
    out = tmp_path / "report"
    done("assess", posts, "--out", out, "--as-of", "2025-11-20T12:00Z", "--notice", "2025-11-01",
         "--since", assessed[0] / "assessment.json", "--simultaneous", "--exemplars", 2,
         "--unredacted", "--policy", home / "policy.toml", "--threads", 2)  # fmt: skip
    record = record_in(out)
    assert record["as_of"] == "2025-11-20T12:00:00Z"
    assert record["simultaneous"] is True
    assert (record["policy"].partition("@")[0], record["threshold"]) == ("mine", 0.5)
    assert record["hosts"][0]["responsiveness"]["notice"]["date"] == "2025-11-01"
    assert len(record["hosts"][0]["exemplars"]) == 2
    since = {host["host"]: host["changes"][0]["text"] for host in record["since"]["hosts"]}
    assert since["harbour.example"] == "is not among the hosts any more"
    assert record["since"]["same_terms"] is False


def test_details_are_redacted_unless_asked_otherwise(home, posts, tmp_path) -> None:
    write(tmp_path / "posts.csv", [{"id": 1, "created_at": "2025-09-01", "text": DETAILS}])
    for more, shown in (((), False), (("--unredacted",), True)):
        out = tmp_path / f"report-{shown}"
        done("assess", tmp_path / "posts.csv", "--out", out, *more)
        for content in files(out).values():
            assert (b"ann.lee@example.org" in content.replace(b"\\", b"")) is shown


def test_columns_by_options_and_by_a_file(home, tmp_path) -> None:
    columns = ("--text", "body", "--time", "posted", "--id", "key", "--host", "site")
    source = home / "renamed.csv"
    done("assess", source, *columns, "--out", tmp_path / "options", "--exemplars", 0)
    done("assess", source, "--columns", home / "columns.toml", "--host", "site",
         "--out", tmp_path / "file", "--exemplars", 0)  # fmt: skip
    by_options, by_file = (record_in(tmp_path / name) for name in ("options", "file"))
    assert {host["host"] for host in by_file["hosts"]} == {"a", "b"}
    # The file says that removals are not to be read; the options leave it at the default.
    assert [found["kind"] for found in by_file["defects"]] == ["no_date"]
    assert [found["kind"] for found in by_options["defects"]] == ["no_date", "unreadable_removed"]
    assert by_file["hosts"][0]["overall"] == by_options["hosts"][0]["overall"]


def test_labels_in_a_column(posts, rows, tmp_path) -> None:
    done("assess", posts, "--label", "violent", "--out", tmp_path / "report", "--exemplars", 0)
    overall = record_in(tmp_path / "report")["hosts"][0]["overall"]
    known = {row["id"]: row["violent"] == "1" for row in reversed(rows)}
    assert overall["reviewed"] == len(known)
    assert overall["prevalence"] == pytest.approx(sum(known.values()) / len(known))


def test_several_files_are_one_source(posts, rows, assessed, home, tmp_path) -> None:
    paths = [write(tmp_path / "a.csv", rows[:100]), write(tmp_path / "b.csv", rows[100:])]
    done("assess", *paths, "--labels", home / "labels.csv", "--name", "harbour.example",
         "--out", tmp_path / "report")  # fmt: skip
    found, whole = record_in(tmp_path / "report"), record_in(assessed[0])
    assert [source["name"] for source in found["sources"]] == ["a.csv", "b.csv"]
    for key in ("flagged", "positives", "posts"):
        assert found["hosts"][0]["overall"][key] == whole["hosts"][0]["overall"][key]
    assert found["hosts"][0]["exemplars"] == whole["hosts"][0]["exemplars"]


@pytest.mark.parametrize("form", ["sqlite:///{}", "{}"])
def test_a_database_from_end_to_end(database, home, assessed, tmp_path, form) -> None:
    source = form.format(database)
    done("sample", source, "--query", SELECT, "--n", 30, "--out", tmp_path / "review.csv")
    assert len(read(tmp_path / "review.csv")) == 30
    out = tmp_path / "report"
    result = done("assess", source, "--query", SELECT, "--labels", home / "labels.csv", "--name",
                  "harbour.example", "--out", out, "--packet", tmp_path / "packet.zip")  # fmt: skip
    record, other = record_in(out), record_in(assessed[0])
    assert record["sources"] == [{"name": "posts.db", "rows": other["rows"]}]
    assert record["hosts"][0]["overall"] == other["hosts"][0]["overall"]
    assert record["hosts"][0]["weeks"] == other["hosts"][0]["weeks"]
    assert done("verify", tmp_path / "packet.zip", "--root", result.stdout.strip())


def test_a_folder_that_is_there_takes_the_report(posts, tmp_path) -> None:
    (tmp_path / "kept.txt").write_text("kept", encoding="utf-8")
    done("assess", posts, "--out", tmp_path, "--exemplars", 0)
    assert set(files(tmp_path)) == REPORT | {"kept.txt"}
    done("assess", posts, "--out", tmp_path / "a" / "b", "--exemplars", 0)
    assert set(files(tmp_path / "a" / "b")) == REPORT


def test_hostile_names_do_nothing_to_a_terminal(tmp_path) -> None:
    name = "\x1b[31mred\u202e\r\n"
    rows = [{"id": "1", "text": DETAILS, "site": name, "created_at": "\x1b"}]
    path = tmp_path / "posts.jsonl"
    path.write_text(json.dumps(rows[0]), encoding="utf-8")
    result = done("assess", path, "--host", "site", "--out", tmp_path / "report")
    assert "\\x1b[31mred\\u202e\\r\\n: " in result.stderr
    assert not set("\x1b\u202e\r") & set(result.stderr)


# --- verify --------------------------------------------------------------------------------------


def test_verify_accepts_a_packet(assessed) -> None:
    out, result = assessed
    root = result.stdout.strip()
    for more in ((), ("--root", root), ("--root", root.upper())):
        said = done("verify", out / "packet.zip", *more)
        assert said.stdout.startswith("The packet is whole.\n")
        assert f"root     {root}\n" in said.stdout
        assert said.stderr == ""


def test_verify_scores_unredacted_posts_again(posts, home, tmp_path) -> None:
    done("assess", posts, "--labels", home / "labels.csv", "--out", tmp_path / "report",
         "--packet", tmp_path / "packet.zip", "--unredacted")  # fmt: skip
    said = done("verify", tmp_path / "packet.zip").stdout
    shown = len(record_in(tmp_path / "report")["hosts"][0]["exemplars"])
    assert f"posts    {shown}: {shown} scored again with the same score\n" in said
    assert "redacted" not in said


@pytest.mark.parametrize("place", [0.01, 0.4, 0.8, 0.999])
def test_verify_finds_a_changed_byte(assessed, tmp_path, place) -> None:
    path = tmp_path / "packet.zip"
    changed = bytearray((assessed[0] / "packet.zip").read_bytes())
    changed[int(place * len(changed))] ^= 1
    path.write_bytes(changed)
    result = run("verify", path)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"hostrisk: error: {path} is ")
    assert "The packet is whole" not in result.stdout
    assert "Traceback" not in result.output


def test_verify_wants_the_root_that_was_kept(assessed) -> None:
    result = run("verify", assessed[0] / "packet.zip", "--root", "0" * 64)
    assert result.exit_code == 1
    assert "THE PACKET IS NOT AS IT SHOULD BE." in result.stdout
    assert "this is another packet, or it was rewritten" in result.stdout
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.zip"], "none.zip cannot be read"),
        (["posts.csv"], "posts.csv is no evidence packet"),
        (["."], "is a folder, not an evidence packet"),
        (["assessed/packet.zip", "--root", "abc"], "'abc' is not 64 hexadecimal digits"),
        (["assessed/packet.zip", "--model", "none"], "none is not a folder"),
    ],
)
def test_verify_fails_in_one_sentence(assessed, home, monkeypatch, arguments, said) -> None:
    monkeypatch.chdir(home)
    assert said in complaint("verify", *arguments)


# --- what is refused -----------------------------------------------------------------------------

ASSESS = [
    (["none.csv"], "none.csv does not exist"),
    (["posts.csv", "none.csv"], "none.csv does not exist"),
    (["posts.csv", "--text", "body"], "posts.csv has no column 'body'"),
    (["posts.csv", "--time", "when"], "no column 'when'"),
    (["posts.csv", "--id", "key"], "no column 'key'"),
    (["posts.csv", "--host", "site"], "no column 'site'"),
    (["posts.csv", "--removed", "gone"], "no column 'gone'"),
    (["posts.csv", "--url", "link"], "no column 'link'"),
    (["posts.csv", "--text", ""], "the column of the text must have a name"),
    (["posts.csv", "--host", "kind", "--name", "a"], "choose one"),
    (["posts.csv", "--name", " "], "the name of the host is blank"),
    (["posts.csv", "--labels", "none.csv"], "none.csv does not exist"),
    (["posts.csv", "--labels", "posts.csv"], "no column 'label'"),
    (["posts.csv", "--labels", "labels.csv", "--label", "violent"], "choose one"),
    (["posts.csv", "--columns", "none.toml"], "none.toml cannot be read"),
    (["posts.csv", "--columns", "posts.csv"], "posts.csv is not TOML"),
    (["posts.csv", "--columns", "policy.toml"], "has no table [columns]"),
    (["posts.csv", "--policy", "none.toml"], "none.toml cannot be read"),
    (["posts.csv", "--policy", "wrong.toml"], "unknown key 'treshold'"),
    (["posts.csv", "--policy", "columns.toml"], "unknown key 'columns'"),
    (["posts.csv", "--as-of", "never"], "as_of is 'never'; it must be a date"),
    (["posts.csv", "--as-of", "2025-02-30"], "as_of is '2025-02-30'"),
    (["posts.csv", "--as-of", "0001-01-01T00:00+14:00"], "it must be a date"),
    (["posts.csv", "--as-of", "9000-01-01"], "which is yet to come"),
    (["posts.csv", "--notice", ""], "notice is ''"),
    (["posts.csv", "--since", "none.json"], "none.json cannot be read"),
    (["posts.csv", "--since", "posts.csv"], "posts.csv is not JSON"),
    (["posts.csv", "--model", "none"], "none is not a folder"),
    (["posts.csv", "--query", "SELECT 1"], "a query is for a database"),
    (["posts.csv", "--out", "posts.csv"], "posts.csv cannot be made"),
    (["posts.csv", "--out", "posts.csv/report"], "cannot be made"),
    (["posts.csv", "--packet", "none/packet.zip"], "none/packet.zip cannot be written"),
    (["posts.csv", "--packet", "assessed"], "assessed is not a plain file"),
    (["posts.csv", "--packet", "new/report.md"], "new/report.md is a file of the report"),
    (["posts.db"], "a database needs a query"),
    (["posts.db", "--query", "SELECT 1"], "no column"),
    (["posts.db", "--query", "SELECT"], "cannot be read with this query"),
    (["posts.db", "--query", "DELETE FROM posts"], "cannot be read with this query"),
    (["sqlite:///none.db", "--query", "SELECT 1"], "none.db does not exist"),
    (["sqlite://none", "--query", "SELECT 1"], "has no known form"),
    (["."], "."),
]


@pytest.fixture
def inside(home, assessed, database, monkeypatch):
    """Work in the folder of the files, in which nothing must change."""
    monkeypatch.chdir(home)
    before = files(home)
    yield home
    assert files(home) == before


@pytest.mark.parametrize(("arguments", "said"), ASSESS)
def test_assess_fails_in_one_sentence_and_writes_nothing(inside, arguments, said) -> None:
    out = () if "--out" in arguments else ("--out", "new")
    assert said in complaint("assess", *arguments, *out)
    assert not (inside / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.csv", "--out", "new.csv"], "none.csv does not exist"),
        (["posts.csv", "--out", "new.txt"], "has the extension .txt"),
        (["posts.csv", "--out", "new"], "has no extension"),
        (["posts.csv", "--out", "none/new.csv"], "cannot be written"),
        (["posts.csv", "--out", "posts.csv"], "posts.csv is being read"),
        (["posts.csv", "--out", "new.csv", "--text", "body"], "no column 'body'"),
        (["posts.csv", "--out", "new.csv", "--columns", "none.toml"], "cannot be read"),
        (["empty.csv", "--out", "new.csv"], "no post with text"),
        (["posts.db", "--out", "new.csv"], "a database needs a query"),
    ],
)
def test_sample_fails_in_one_sentence_and_writes_nothing(
    home, assessed, monkeypatch, tmp_path, arguments, said
) -> None:
    for name in ("posts.csv", "columns.toml"):
        (tmp_path / name).write_bytes((home / name).read_bytes())
    (tmp_path / "empty.csv").write_text("id,created_at,text\n1,2025-09-01, \n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    assert said in complaint("sample", *arguments)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["assess"],
        ["assess", "posts.csv"],
        ["assess", "--out", "new"],
        ["assess", "posts.csv", "--out", "new", "--exemplars", "-1"],
        ["assess", "posts.csv", "--out", "new", "--exemplars", "many"],
        ["assess", "posts.csv", "--out", "new", "--threads", "0"],
        ["assess", "posts.csv", "--out", "new", "--colums", "x"],
        ["sample", "posts.csv"],
        ["sample", "posts.csv", "--out", "new.csv", "--n", "0"],
        ["sample", "posts.csv", "--out", "new.csv", "--seed", "-1"],
        ["verify"],
        ["verify", "a", "b"],
    ],
)
def test_wrong_usage(inside, arguments) -> None:
    assert complaint(*arguments, status=2).endswith(f"(see hostrisk {arguments[0]} --help)")


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("posts.csv", []),
        ("labels.csv", ["--labels", "labels.csv"]),
        ("policy.toml", ["--policy", "policy.toml"]),
        ("assessed/assessment.json", ["--since", "assessed/assessment.json"]),
        ("posts.db", ["sqlite:///posts.db", "--query", SELECT]),
        ("posts.db", ["posts.db", "--query", SELECT]),
    ],
)
def test_no_file_that_is_read_becomes_the_packet(inside, target, more) -> None:
    source = [] if target == "posts.db" else ["posts.csv"]
    said = complaint("assess", *source, *more, "--out", "new", "--packet", target)
    assert said == f"{target} is being read; name another file to write to"
    assert not (inside / "new").exists()


def test_the_file_of_columns_does_not_become_the_packet(inside) -> None:
    said = complaint("assess", "renamed.csv", "--columns", "columns.toml", "--out", "new",
                     "--packet", "./columns.toml")  # fmt: skip
    assert said.startswith("./columns.toml is being read")


def test_an_earlier_assessment_is_not_overwritten(inside) -> None:
    said = complaint("assess", "posts.csv", "--out", "assessed", "--since",
                     "assessed/assessment.json")  # fmt: skip
    assert said.startswith("assessed/assessment.json is being read")


def test_a_report_is_written_whole_or_not_at_all(posts, tmp_path) -> None:
    (tmp_path / "report.md").mkdir()
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    said = complaint("assess", posts, "--out", tmp_path, "--exemplars", 0)
    assert said == f"{tmp_path / 'report.md'} is not a plain file and cannot be replaced"
    assert files(tmp_path) == {"report.html": b"old"}


# --- as a process --------------------------------------------------------------------------------


def process(*arguments: object, seed: int = 0) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "hostrisk", *map(str, arguments)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
    )


def test_every_process_writes_the_same_bytes(posts, home, tmp_path) -> None:
    """Names are hashed otherwise in each process, which must not show anywhere."""
    found = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        result = process("assess", posts, "--labels", home / "labels.csv", "--out", folder,
                         "--packet", folder / "packet.zip", seed=seed)  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert b"Warning" not in result.stderr
        found.append((files(folder), result.stdout))
    assert found[0] == found[1]
    assert set(found[0][0]) == REPORT | {"packet.zip"}


def test_a_process_fails_without_a_traceback(posts, tmp_path) -> None:
    result = process("assess", posts, "--out", tmp_path / "new", "--as-of", "never")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.count(b"\n") == 1
    assert result.stderr.startswith(b"hostrisk: error: as_of is 'never'")
    assert not (tmp_path / "new").exists()
