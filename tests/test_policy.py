"""Policies: the file says what the code says; what is unknown or impossible is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostrisk import Policy, PolicyError, policy
from hostrisk.policy import KINDS, TARGETS, load_policy

DEFAULT = Path(policy.__file__).parent / "policies" / "default.toml"


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "own.toml"


def test_the_default_file_says_what_the_code_says() -> None:
    assert load_policy(DEFAULT) == Policy()
    assert load_policy(str(DEFAULT)).id == Policy().id


def test_every_kind_and_target_is_one_that_the_bundled_model_knows() -> None:
    manifest = Path(policy.__file__).parent / "models" / "default" / "manifest.json"
    heads = json.loads(manifest.read_bytes())["heads"]
    assert {head["name"] for head in heads["kinds"]} == set(KINDS)
    assert {head["name"] for head in heads["targets"]} <= set(TARGETS)


def test_keys_left_out_keep_their_defaults(toml: Path) -> None:
    toml.write_text('threshold = 1\nkinds = ["threat"]')
    assert load_policy(toml) == Policy("custom", 1.0, ("threat",), TARGETS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("treshold = 0.5", "unknown key 'treshold'; known are name, threshold, kinds, targets"),
        ("[threshold]", "threshold must be from 0 to 1 or the name of a threshold, not {}"),
        ("threshold = 1.5", "not 1.5"),
        ("threshold = -1", "not -1"),
        ("threshold = nan", "not nan"),
        ("threshold = inf", "not inf"),
        ("threshold = true", "not True"),
        ('name = ""', "name must be text, not ''"),
        ("name = 3", "name must be text, not 3"),
        ('kinds = "threat"', "kinds must be a list out of threat, incitement"),
        ('kinds = ["theft"]', "kinds must be a list out of"),
        ("kinds = [[]]", "kinds must be a list out of"),
        ("targets = [1]", "targets must be a list out of politician"),
        ("name", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
    ],
)
def test_wrong_policies_are_refused(toml: Path, content: str, words: str) -> None:
    toml.write_text(content)
    with pytest.raises(PolicyError) as caught:
        load_policy(toml)
    assert str(caught.value).startswith(str(toml))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_refused(toml: Path) -> None:
    for path in (toml, toml.parent):
        with pytest.raises(PolicyError, match="cannot be read"):
            load_policy(path)
    toml.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="is not TOML"):
        load_policy(toml)


def test_the_id_changes_with_all_that_a_policy_says() -> None:
    policies = [
        Policy(),
        Policy(name="other"),
        Policy(threshold=0.5),
        Policy(kinds=("threat",)),
        Policy(targets=("police",)),
    ]
    assert len({p.id.partition("@")[2] for p in policies}) == len(policies)
    assert Policy().id == Policy().id
    assert Policy().id.startswith("default-1@")
