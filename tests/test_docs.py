"""The documentation runs: every Python block of README and docs, and every `hostrisk` command."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from hostrisk.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_commands_of_the_readme_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "posts.csv").write_text("text\nhang them all\na nice day\n", encoding="utf-8")
    (tmp_path / "labeled.csv").write_text(
        "body,violent,source\nhang them all,1,a\na nice day,0,a\n", encoding="utf-8"
    )
    import pandas as pd

    pd.DataFrame({"body": ["hang them all"]}).to_parquet(tmp_path / "posts.parquet")
    shutil.copy(ROOT / "data" / "demo" / "host.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^    hostrisk (.*)$", text, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        if "--model my-model" in command:
            continue  # tests/test_training.py trains one
        if command.startswith("review "):
            label_by_truth(tmp_path / command.split()[1], tmp_path / "host.csv")
            continue  # tests/test_review_page.py does it in a browser
        result = CliRunner().invoke(main, shlex.split(command))
        assert result.exit_code == 0, (command, result.output)


def label_by_truth(review: Path, posts: Path) -> None:
    """Do what people do on the page of ``hostrisk review``."""
    with open(posts, encoding="utf-8") as file:
        truth = {row["id"]: row["violent"] for row in csv.DictReader(file)}
    with open(review, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(review, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "label"])
        writer.writeheader()
        writer.writerows({**row, "label": truth[row["id"]]} for row in rows)


def test_every_page_begins_with_why() -> None:
    for page in PAGES[1:]:
        if page.name != "cli.md":
            head = page.read_text(encoding="utf-8").split("\n\n")[1]
            assert head.startswith("Why"), page
