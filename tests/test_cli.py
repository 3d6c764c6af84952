"""The command line: what it prints, writes and refuses, and what it never sends to a terminal."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import hostrisk
from hostrisk import _scoring, _terminal
from hostrisk.cli import main
from hostrisk.records import Decision, Explanation, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

VIOLENT = "We should hang them all and shoot every one of them"
CALM = "We baked a cake for the school party"
NEW = ["score", "flagged", "kind", "targets", "supported"]
DOCS = Path(__file__).parent.parent / "docs"


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin if stdin is not None else b"")


def done(*arguments: str, stdin: str | bytes | None = None) -> str:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def complaint(*arguments: str, stdin: str | bytes | None = None, status: int = 1) -> str:
    """Return the one sentence with which a command fails."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == status, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("hostrisk: error: ")
    assert result.stdout == ""
    return line.removeprefix("hostrisk: error: ")


def process(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "hostrisk", *arguments], **options)


def on_terminal(*arguments: str, stdin: Any = subprocess.DEVNULL, **variables: str) -> str:
    """Run a command whose output and errors go to a terminal; return what that receives."""
    reader, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    command = process(*arguments, stdin=stdin, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    received = b"".join(_read_all(reader))
    os.close(reader)
    assert command.wait() == 0, received
    return received.decode().replace("\r\n", "\n")


def _read_all(reader: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(reader, 65536)
        except OSError:  # how Linux says that the other end is closed
            return
        if not data:
            return
        yield data


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    path.write_text(f'id,text\n007,{CALM}\nNULL,{VIOLENT}\n3,""\n', encoding="utf-8")
    return path


@pytest.fixture
def nulls(tmp_path: Path) -> Path:
    path = tmp_path / "nulls.jsonl"
    rows = [{"n": 1, "text": VIOLENT, "tags": ["a", 1]}, {"n": None, "text": None}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


# --- score: texts and lines ----------------------------------------------------------------------


def test_scores_are_those_of_the_library() -> None:
    rows = [
        json.loads(line) for line in done("score", "--format", "jsonl", VIOLENT, CALM).splitlines()
    ]
    decisions = hostrisk.load().decide([VIOLENT, CALM])
    assert [row["text"] for row in rows] == [VIOLENT, CALM]
    for row, decision in zip(rows, decisions, strict=True):
        assert row["score"] == decision.score
        assert row["flagged"] == decision.flagged
        assert (row["kind"], tuple(row["targets"])) == (decision.kind, decision.targets)
    assert [row["flagged"] for row in rows] == [True, False]


def test_table_has_one_line_a_text() -> None:
    header, first, second = done("score", VIOLENT, "a\nb\tc\x1b[31m").splitlines()
    assert header.split() == ["SCORE", "FLAGGED", "KIND", "TARGETS", "TEXT"]
    assert re.match(r"[01]\.\d{4}  yes     (threat|incitement|glorification|wish) ", first)
    assert first.endswith(VIOLENT)
    assert second.endswith(r"a\nb\tc\x1b[31m")


def test_csv_holds_the_text_as_it_was() -> None:
    text = 'say "kill", then\r\nstop\x1b[0m'
    result = run("score", "--format", "csv", text)
    rows = list(csv.reader(io.StringIO(result.stdout_bytes.decode(), newline="")))
    assert rows[0] == ["text", *NEW]
    assert rows[1][0] == text
    assert rows[1][2] in {"true", "false"}


def test_every_line_of_standard_input_is_scored() -> None:
    given = f"{CALM}\n\n{VIOLENT}\r\nlast é"
    rows = [
        json.loads(line) for line in done("score", "--format", "jsonl", stdin=given).splitlines()
    ]
    assert [row["text"] for row in rows] == [CALM, "", VIOLENT, "last é"]
    assert all(isinstance(row["score"], float) for row in rows)


def test_long_lines_and_many_lines_of_standard_input() -> None:
    given = "x" * 3_000_000 + "\n" + "a line\n" * 20_000
    output = done("score", "--format", "csv", stdin=given).splitlines()
    assert len(output) == 20_002


def test_lines_are_scored_as_they_come() -> None:
    command = process("score", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.stdin is not None
    assert command.stdout is not None
    command.stdin.write(f"{CALM}\n".encode())
    command.stdin.flush()
    assert command.stdout.readline().startswith(b"SCORE")
    assert command.stdout.readline().endswith(f"{CALM}\n".encode())
    command.stdin.close()
    assert command.wait() == 0
    command.stdout.close()


def test_threshold_decides_who_is_flagged() -> None:
    def flags(*options: str) -> list[bool]:
        lines = done("score", *options, "--format", "jsonl", VIOLENT, CALM).splitlines()
        return [json.loads(line)["flagged"] for line in lines]

    assert flags("--threshold", "0") == [True, True]
    assert flags("--threshold", "1") == [False, False]
    at = json.loads(done("explain", "--at", "review", "--format", "json", CALM))
    assert at["threshold"] == hostrisk.load().artifact.thresholds["review"]
    lowest = json.loads(done("score", "--threshold", "0", "--format", "jsonl", CALM))
    assert lowest["kind"] in {"threat", "incitement", "glorification", "wish"}


def test_top_prints_the_highest_first() -> None:
    texts = [CALM, VIOLENT, f"{VIOLENT}!", "a nice day", CALM]
    all_rows = [
        json.loads(line) for line in done("score", "--format", "jsonl", *texts).splitlines()
    ]
    top = [
        json.loads(line)
        for line in done("score", "--format", "jsonl", "--top", "3", *texts).splitlines()
    ]
    assert top == sorted(all_rows, key=lambda row: -row["score"])[:3]


def test_texts_can_be_written_to_a_table(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert done("score", VIOLENT, CALM, "--out", str(out)) == ""
    table = parquet.read_table(out)
    assert table.column_names == ["text", *NEW]
    *plain, lists, supported = table.schema.types
    assert list(map(str, plain)) == ["string", "double", "bool", "string"]
    assert pa.types.is_list(lists)
    assert supported == pa.bool_()
    assert lists.value_type == pa.string()
    assert table["text"].to_pylist() == [VIOLENT, CALM]


# --- score: tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["csv", "tsv", "jsonl", "parquet"])
def test_out_keeps_every_column_and_adds_the_new_ones(
    posts: Path, tmp_path: Path, end: str
) -> None:
    out = tmp_path / f"out.{end}"
    result = run("score", str(posts), "--out", str(out))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == f"hostrisk: 3 rows, 1 flagged (33.3%), written to {out}\n"
    rows = read_rows(out)
    assert [row["id"] for row in rows] == ["007", "NULL", "3"]
    assert [row["text"] for row in rows] == [CALM, VIOLENT, ""]
    assert list(rows[0]) == ["id", "text", *NEW]
    scores = hostrisk.load().score([CALM, VIOLENT, ""])
    assert [float(row["score"]) for row in rows] == scores
    assert [str(row["flagged"]).lower() for row in rows] == ["false", "true", "false"]


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def test_null_texts_are_left_empty_and_counted(nulls: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = run("score", str(nulls), "--out", str(out))
    assert "1 of 2 texts are null and were left without a score" in result.stderr
    first, second = read_rows(out)
    assert (first["n"], first["tags"], first["flagged"]) == (1, ["a", 1], True)
    assert second == {"n": None, "text": None, "tags": None, **dict.fromkeys(NEW)}
    lines = done("score", str(nulls), "--format", "csv").splitlines()
    assert lines[2] == ",,,,,,,"
    assert done("score", str(nulls)).splitlines()[2].split() == ["(null)"]


def test_several_files_and_another_column(tmp_path: Path) -> None:
    for name, text in (("a.csv", CALM), ("b.csv", VIOLENT)):
        (tmp_path / name).write_text(f"body\n{text}\n", encoding="utf-8")
    names = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    output = done("score", *names, "--text", "body", "--top", "1", "--format", "jsonl")
    assert json.loads(output)["body"] == VIOLENT
    (tmp_path / "b.csv").write_text("body,id\na,1\n", encoding="utf-8")
    message = complaint("score", *names, "--text", "body", "--out", str(tmp_path / "c.csv"))
    assert "b.csv has the columns body, id where the file before has body" in message
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "b.csv"]


def test_top_keeps_all_columns_of_large_tables(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    texts = [CALM] * 30_000
    texts[20_000] = VIOLENT
    parquet.write_table(pa.table({"n": list(range(30_000)), "text": texts}), path)
    output = done("score", str(path), "--top", "2", "--format", "jsonl", "--threads", "2")
    assert [json.loads(line)["n"] for line in output.splitlines()] == [20_000, 0]


def test_top_of_a_table_without_rows_prints_the_header(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("id,text\n", encoding="utf-8")
    assert (
        done("score", str(path), "--top", "3", "--format", "csv")
        == "id,text," + ",".join(NEW) + "\n"
    )
    assert done("score", str(path), "--out", str(tmp_path / "out.csv")) == ""
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("id,text,score")


def test_names_that_are_taken_get_a_prefix(tmp_path: Path) -> None:
    path, out = tmp_path / "posts.csv", tmp_path / "out.csv"
    path.write_text(f"kind,text\nmine,{VIOLENT}\n", encoding="utf-8")
    result = run("score", str(path), "--out", str(out))
    assert "'hostrisk_kind'" in result.stderr
    row = read_rows(out)[0]
    assert row["kind"] == "mine"
    assert row["hostrisk_kind"] in {"threat", "incitement", "glorification", "wish"}
    assert row["flagged"] == "true"

    path.write_text(f"kind,hostrisk_kind,text\n1,2,{VIOLENT}\n", encoding="utf-8")
    assert "--prefix" in complaint("score", str(path), "--out", str(out))
    run("score", str(path), "--out", str(out), "--prefix", "new_")
    assert "new_kind" in out.read_text(encoding="utf-8").splitlines()[0]


# --- score: refusals -----------------------------------------------------------------------------


def spoil(folder: Path, name: str) -> Path:
    """Write the bad input of one case."""
    whole = folder / "whole.parquet"
    parquet.write_table(pa.table({"text": [f"post {n}" for n in range(5000)]}), whole)
    contents = {
        "missing_column.csv": b"id,body\n1,a\n",
        "not_utf8.csv": b"text\nfine\nna\xefve\n",
        "not_utf8.jsonl": b'{"text": "na\xefve"}\n',
        "empty.csv": b"",
        "wrong_type.jsonl": b'{"text": "a"}\n{"text": 5}\n',
        "malformed.jsonl": b'{"text": "a"}\n{"text"\n',
        "ragged.csv": b"id,text\n1,a\n2\n",
        "truncated.parquet": whole.read_bytes()[:-100],
        "unknown.xlsx": b"PK",
    }
    path = folder / name
    if name == "wrong_type.parquet":
        parquet.write_table(pa.table({"text": [1, 2]}), path)
    elif name != "absent.csv":
        path.write_bytes(contents[name])
    whole.unlink()
    return path


BAD_INPUTS = {
    "absent.csv": "does not exist",
    "missing_column.csv": "has no column 'text'; its columns are 'id', 'body'",
    "not_utf8.csv": "line 3 is not UTF-8: byte 0xef at byte 12",
    "not_utf8.jsonl": "line 1 is not UTF-8: byte 0xef at byte 12",
    "empty.csv": "is empty",
    "wrong_type.jsonl": "line 2 has a number in the text column 'text'",
    "wrong_type.parquet": "column 'text' holds int64, not text",
    "malformed.jsonl": "line 2 is not JSON",
    "ragged.csv": "line 3 has 1 field, the header 2",
    "truncated.parquet": "is damaged, cut short or not Parquet",
    "unknown.xlsx": "has the extension .xlsx; a table must end in one of .csv, .tsv, ",
}


@pytest.mark.parametrize(("name", "problem"), BAD_INPUTS.items())
@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet"])
def test_bad_input_is_one_sentence_and_writes_nothing(
    tmp_path: Path, name: str, problem: str, end: str
) -> None:
    path = spoil(tmp_path, name)
    before = os.listdir(tmp_path)
    message = complaint("score", str(path), "--out", str(tmp_path / f"out.{end}"))
    assert name in message
    assert problem in message
    assert os.listdir(tmp_path) == before


def test_bad_line_late_in_a_file_leaves_an_older_result_alone(tmp_path: Path) -> None:
    path, out = tmp_path / "posts.csv", tmp_path / "out.csv"
    path.write_text("id,text\n" + "1,a\n" * 40_000 + "2\n", encoding="utf-8")
    out.write_text("older", encoding="utf-8")
    assert "line 40002" in complaint("score", str(path), "--out", str(out))
    assert out.read_text(encoding="utf-8") == "older"
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "posts.csv"]


def test_output_that_cannot_be_written(posts: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(posts)
    content = posts.read_bytes()
    for out, problem in {
        str(posts): "is being read",
        str(link): "is being read",
        str(tmp_path / "out.xlsx"): "has the extension .xlsx",
        str(tmp_path / "no" / "out.csv"): "cannot be written: No such file or directory",
    }.items():
        assert problem in complaint("score", str(posts), "--out", out)
    assert posts.read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["link.csv", "posts.csv"]


def test_standard_input_that_is_not_utf8() -> None:
    message = complaint("score", stdin=b"ok\nna\xefve\n")
    assert message == "standard input, line 2 is not UTF-8: byte 0xef at byte 5"
    assert "not UTF-8" in complaint("explain", stdin=b"\xff")


@pytest.mark.skipif(sys.platform != "linux", reason="arguments are bytes only there")
def test_argument_that_is_not_utf8() -> None:
    command = [sys.executable, "-m", "hostrisk", "score", b"na\xefve"]
    found = subprocess.run(command, capture_output=True, check=False)
    assert found.returncode == 1
    assert found.stderr == b"hostrisk: error: the argument 'na\\udcefve' is not UTF-8\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threshold", "1.5", "a"],
        ["--threshold", "nan", "a"],
        ["--top", "0", "a"],
        ["--threads", "0", "a"],
        ["--format", "xml", "a"],
        ["--unknown", "a"],
        ["{posts}", "a text"],
    ],
)
def test_wrong_usage(arguments: list[str], posts: Path) -> None:
    given = [argument.replace("{posts}", str(posts)) for argument in arguments]
    assert complaint("score", *given, status=2).endswith("(see hostrisk score --help)")


def test_a_threshold_that_the_model_has_not() -> None:
    for command in ("score", "explain"):
        assert "at is 'sure'; the model default-" in complaint(command, "--at", "sure", CALM)
        wrong = ["--at", "review", "--threshold", "0.5", CALM]
        assert "give one of them" in complaint(command, *wrong)


def test_unknown_command_and_none() -> None:
    assert "No such command 'scor'" in complaint("scor", status=2)
    result = run()
    assert result.exit_code == 2
    assert "Usage: hostrisk" in result.stderr


def test_terminal_as_input_without_texts_is_wrong_usage() -> None:
    reader, terminal = os.openpty()
    command = process("score", stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, errors = command.communicate()
    os.close(reader)
    os.close(terminal)
    assert command.returncode == 2
    assert b"Give texts, files, or lines on standard input" in errors


def test_model_that_must_not_be_loaded(tmp_path: Path) -> None:
    for command in (["score", "a"], ["explain", "a"], ["model", "info"], ["model", "verify"]):
        option = [] if command[0] == "model" else ["--model"]
        assert str(tmp_path) in complaint(*command, *option, str(tmp_path))


# --- processes -----------------------------------------------------------------------------------


def test_reader_that_leaves_is_no_noise(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("text\n" + f"{CALM}\n" * 50_000, encoding="utf-8")
    command = process("score", str(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    command.stdout.readline()
    command.stdout.close()
    assert command.wait() == 141
    assert command.stderr is not None
    assert command.stderr.read() == b""
    command.stderr.close()


def test_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("text\n" + f"{CALM}\n" * 1_500_000, encoding="utf-8")
    command = process("score", str(path), "--out", str(tmp_path / "o.csv"), stderr=subprocess.PIPE)
    while len(os.listdir(tmp_path)) < 2 and command.poll() is None:
        time.sleep(0.01)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate()
    assert command.returncode == 130
    assert b"Traceback" not in errors
    assert os.listdir(tmp_path) == ["posts.csv"]


def test_output_in_utf8_whatever_the_locale() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    found = subprocess.run(
        [sys.executable, "-m", "hostrisk", "score", "--format", "jsonl", "Ünï 🔪"],
        capture_output=True, env=environment, check=True,
    )  # fmt: skip
    assert json.loads(found.stdout)["text"] == "Ünï 🔪"


def test_plain_text_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom hostrisk.cli import main\n"
        "try: main(['score', 'a', 'b'])\n"
        "finally: print(sorted({'numpy', 'pyarrow', 'pandas', 'csv', 'jinja2'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.stdout.splitlines()[-1] == "[]"


def test_without_pyarrow_tables_name_the_extra(
    posts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in complaint("score", str(posts))


# --- terminals -----------------------------------------------------------------------------------

HOSTILE = "shoot them\x1b]0;owned\x07\x9b31m\u202e\r\x08 all"


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", HOSTILE],
        ["score", "--format", "csv", HOSTILE],
        ["score", "--format", "jsonl", HOSTILE],
        ["explain", HOSTILE],
        ["explain", "--format", "json", HOSTILE],
    ],
)
def test_hostile_text_never_reaches_a_terminal_raw(arguments: list[str]) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(*arguments))  # our own colors
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert "31m" in shown


def test_hostile_names_in_errors_are_made_visible(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m.csv"
    path.write_bytes(b"")
    assert "\\x1b[31m.csv is empty" in complaint("score", str(path))


def test_table_fits_the_terminal_and_flags_are_red() -> None:
    header, line = on_terminal("score", VIOLENT + " again" * 50, COLUMNS="90").splitlines()
    assert header.startswith("SCORE")
    assert line.startswith("\x1b[31m\x1b[1m")
    assert len(re.sub(r"\x1b\[[0-9;]*m", "", line)) == 90
    assert line.endswith("…")
    assert "\x1b" not in on_terminal("score", VIOLENT, NO_COLOR="1")


def test_progress_bar_is_for_terminals_only(tmp_path: Path, posts: Path) -> None:
    path, out = tmp_path / "many.csv", str(tmp_path / "out.csv")
    path.write_text("text\n" + f"{CALM}\n" * 40_000, encoding="utf-8")
    shown = on_terminal("score", str(path), "--out", out)
    assert "100%" in shown
    assert "40,000 rows" in shown
    assert "%" not in on_terminal("score", str(posts))  # rows go to the same terminal
    assert "Scoring" not in run("score", str(path), "--out", out).stderr


def test_visible_spells_out_what_a_terminal_obeys() -> None:
    assert _terminal.visible("a\x1b\x9b\u202e\ud800\u200b\n") == r"a\x1b\x9b\u202e\ud800\u200b\n"
    assert _terminal.visible("a\nb\r", keep="\n") == "a\nb\\r"
    harmless = "é 👩\u200d🚒 日本 \\x1b"
    assert _terminal.visible(harmless) == harmless


# --- explain -------------------------------------------------------------------------------------


def test_explanation_adds_up_and_lies_on_the_text() -> None:
    found = json.loads(done("explain", "--format", "json", VIOLENT))
    assert found["text"] == VIOLENT
    assert found["flagged"] is True
    assert found["score"] == hostrisk.load().score(VIOLENT)
    total = found["bias"] + sum(span["weight"] for span in found["spans"])
    assert total == pytest.approx(found["logit"], abs=1e-6)
    for span in found["spans"]:
        assert VIOLENT[span["start"] : span["end"]] == span["text"]


def test_explanation_as_text() -> None:
    shown = done("explain", stdin=f"{VIOLENT}\n")
    assert "flagged at the threshold" in shown
    assert re.search(r"^kind     (threat|incitement|glorification|wish)$", shown, re.MULTILINE)
    assert re.search(r"\[[^\]]* \+\d+\.\d\]", shown)
    assert "WEIGHT" in shown
    colored = on_terminal("explain", VIOLENT)
    assert "\x1b[48;5;" in colored
    assert "flagged at the threshold 1\n" not in shown
    assert "not flagged at the threshold 1)" in done("explain", "--threshold", "1", VIOLENT)


def explained(text: str, spans: list[Span], window: tuple[int, int]) -> Explanation:
    logit = -4 + sum(span.weight for span in spans)
    return Explanation(text, 0.9, logit, -4.0, tuple(spans), "threat", ("person",), window)


def test_only_the_window_is_shown_and_few_spans() -> None:
    spans = [Span(10 + n, 11 + n, "x", 1.0 + n) for n in range(30)]
    decision = Decision(0.9, 0.5, True, "threat", ("person",), "m-1", "p-1")
    shown = _terminal.render_explanation(
        explained("x" * 100, spans, (10, 60)), decision, color=False
    )
    assert "window   characters 10 to 60 of 100, the part that scored highest" in shown
    assert "+55.0000  in 10 weaker spans" in shown
    marked = next(line for line in shown.splitlines() if line.startswith(("x", "[")))
    assert re.sub(r"\[x \+\d+\.0\]", "x", marked) == "x" * 50


def test_shades_follow_the_weight() -> None:
    spans = [
        Span(0, 1, "a", 4.0),
        Span(2, 3, "b", -4.0),
        Span(4, 5, "c", 0.1),
        Span(6, 7, "d", 1.1),
    ]
    decision = Decision(0.9, 0.5, True, "threat", (), "m-1", "p-1")
    shown = _terminal.render_explanation(explained("a b c d", spans, (0, 7)), decision, color=True)
    assert "48;5;203ma" in shown
    assert "48;5;75mb" in shown
    assert "48;5;217md" in shown
    assert "mc" not in shown


# --- evaluate ------------------------------------------------------------------------------------


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    path = tmp_path / "labeled.csv"
    rows = [
        (VIOLENT, 1, "a"),
        (CALM, 0, "a"),
        (f"{VIOLENT} now", 1, "b"),
        ("fine weather", 0, "b\x1b"),
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("body", "violent", "group"), *rows * 5])
    return path


COLUMNS = ["--text", "body", "--label", "violent", "--resamples", "20"]


def test_evaluation_in_every_form(labeled: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    shown = done("evaluate", str(labeled), *COLUMNS, "--group", "group", "--html", str(page))
    assert "\x1b" not in shown
    assert "average precision" in shown.lower()
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    found = json.loads(done("evaluate", str(labeled), *COLUMNS, "--format", "json"))
    assert (found["rows"], found["positives"]) == (20, 10)
    assert found["threshold"] == hostrisk.load().threshold
    again = json.loads(
        done("evaluate", str(labeled), *COLUMNS, "--format", "json", "--threshold", "0")
    )
    assert again["metrics"]["recall"]["estimate"] == 1


def test_evaluation_refusals(labeled: Path, tmp_path: Path) -> None:
    source = str(labeled)
    assert "has no column 'text'" in complaint("evaluate", source)
    assert "does not exist" in complaint("evaluate", str(tmp_path / "absent.csv"))
    assert "is being read" in complaint("evaluate", source, *COLUMNS, "--html", source)
    missing = str(tmp_path / "no" / "page.html")
    assert "cannot be written" in complaint("evaluate", source, *COLUMNS, "--html", missing)
    page = str(tmp_path / "page.html")
    complaint("evaluate", source, "--label", "group", "--text", "body", "--html", page)
    assert os.listdir(tmp_path) == ["labeled.csv"]


# --- model, version, help ------------------------------------------------------------------------


def test_model_info_and_verify() -> None:
    classifier = hostrisk.load()
    shown = done("model", "info")
    assert classifier.model_id in shown
    assert re.search(r"^features +hostrisk-ngrams-\d+$", shown, re.MULTILINE)
    assert json.loads(done("model", "info", "--format", "json")) == classifier.artifact.manifest
    assert done("model", "verify").strip()


def test_manifest_of_any_shape_is_shown() -> None:
    manifest = {
        "format": 1,
        "metrics": {"ap": 0.43219, "by": {"x": [0.1, 0.2]}},
        "data": [{"source": "s\x1b", "rows": 1000, "positives": 3, "licence": "MIT"}],
        "golden": [{"text": "a"}, {"text": "b"}],
    }
    assert _terminal.render_manifest("m-1", manifest).splitlines() == [
        "model         m-1",
        "format        1",
        "metrics.ap    0.4322",
        "metrics.by.x  0.1, 0.2",
        "data.s\\x1b       1,000 rows, 3 positive, license MIT",
        "golden        2 entries",
    ]


def test_version_says_what_runs() -> None:
    shown = done("--version").splitlines()
    assert shown[0] == f"hostrisk {hostrisk.__version__}"
    assert re.fullmatch(r"kernel   (c|numpy|python)", shown[1])
    assert re.fullmatch(r"features hostrisk-ngrams-\d+", shown[2])


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            yield from commands(sub, (*path, name))


@pytest.mark.parametrize("path", list(commands(main)))
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    shown = done(*path, "--help")
    assert re.search(rf"Examples?:\n +(\S.* \| )?{' '.join(['hostrisk', *path])}", shown)


def test_cli_documentation_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_cli", DOCS / "generate_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == module.render(), (
        "run python docs/generate_cli.py"
    )


# --- sinks ---------------------------------------------------------------------------------------


def test_highest_keeps_the_order_of_equals_and_skips_nulls() -> None:
    kept: list[dict[str, Any]] = []
    sink = SimpleNamespace(write=kept.append, close=lambda: None)
    highest = _scoring.Highest(sink, 3, by="score")
    highest.write({"score": [0.5, None, 0.9], "n": [0, 1, 2]})
    highest.write({"score": [0.5, 0.5, 0.7], "n": [3, 4, 5]})
    highest.close()
    assert kept == [{"score": [0.9, 0.7, 0.5], "n": [2, 5, 0]}]


def test_usage_errors_and_results_without_ending_the_process() -> None:
    with pytest.raises(click.UsageError):
        main(["score", "--top", "x"], standalone_mode=False)
    call: Callable[..., Any] = main.main
    with pytest.raises(SystemExit) as ended:
        call(["--help"])
    assert ended.value.code == 0
