"""Write a trained model as an artifact with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hostrisk.artifact import Artifact, save_with_golden
from hostrisk.files import atomic_writer
from training.fit_linear import LinearModel
from training.heads import Heads

__all__ = ["GOLDEN", "export", "export_encoder"]

_CARDS = Path(__file__).with_name("cards")

GOLDEN = (
    "they should all be shot on sight",
    "I will find you and break every bone in your body",
    "he did the world a favour when he ran them over",
    "hope she gets hit by a bus",
    "time to h.a.n.g the traitors",
    "k1ll th3m 4ll",
    "we baked a cake for the school party",
    "how do I kill a process that ignores the signal",
    "try her for treason, and the penalty is death",
    "police said the man had threatened to shoot the judge",
    "убийство",
    "",
    "🔪🔪 you are next @user #soon",
    "word " * 300 + "we will hang every one of you",
)


def export(out: Path, model: LinearModel, heads: Heads, manifest: Mapping[str, Any]) -> Artifact:
    """Write the folder twice: once to score the golden texts, once with their scores in it."""
    tensors = save({"main": model.weights, "heads": np.ascontiguousarray(heads.table)})
    whole = {
        **manifest,
        "main": {"scale": model.scale, "bias": model.bias},
        "heads": {"rows": len(heads.table), "kinds": heads.kinds, "targets": heads.targets},
    }
    return _finish(out, save_with_golden(out, whole, tensors, GOLDEN))


def export_encoder(
    out: Path,
    manifest: Mapping[str, Any],
    weights: bytes,
    encoder: tuple[bytes, bytes],
    evaluate: Callable[[Artifact], dict[str, Any]],
) -> Artifact:
    """Write the folder of an encoder, measure what was written, and write it with the figures."""
    artifact = save_with_golden(out, manifest, weights, GOLDEN, encoder=encoder)
    whole = {**manifest, "metrics": {**manifest["metrics"], **evaluate(artifact)}}
    return _finish(out, save_with_golden(out, whole, weights, GOLDEN, encoder=encoder))


def _finish(out: Path, artifact: Artifact) -> Artifact:
    """Put the card into the folder of a model."""
    with atomic_writer(out / "README.md") as file:
        file.write(render_card(artifact).encode())
    return artifact


# --- card ----------------------------------------------------------------------------------------


def render_card(artifact: Artifact) -> str:
    """Return the card as Markdown (Mitchell et al. 2019, "Model Cards for Model Reporting")."""
    manifest = artifact.manifest
    encoder = manifest.get("encoder")
    thresholds = encoder["thresholds"] if encoder else manifest["thresholds"]
    parts = [
        _HEAD.format(
            name=manifest["name"],
            model_id=artifact.model_id,
            what=_ENCODER.format(**encoder) if encoder else _LINEAR,
            program="fit_encoder" if encoder else "retrain",
            misses=_ENCODER_MISSES if encoder else _LINEAR_MISSES,
            **thresholds["default"],
        ),
        _sources(manifest["metrics"].get("sources", {})),
        _thresholds(thresholds),
        _cascade(manifest["metrics"].get("cascade"), encoder),
        _suite(manifest["metrics"].get("suite")),
        _attacks(manifest["metrics"].get("attacks")),
        _errors(manifest["name"]),
        _heads(manifest["metrics"].get("heads", {})),
        _data(manifest["data"]),
    ]
    return "\n".join(part for part in parts if part)


_HEAD = """\
# Model card: {name}

Made by `python -m training.{program}`; do not edit. Model id `{model_id}`.

**What it is.** {what}
It gives the probability that a post is violent incitement by docs/policy.md: a threat, a call for
violence, praise of real violence, or a wish of death or injury. Beside it stand heads for the kind
and the target groups.

**For what.** Ranking and flagging English posts for human review, and estimating how common such
posts are on a host. A flag is a reason to read a post, not a verdict on its author.

**Not for what.** Deciding alone about people or accounts; other languages than English; telling
whether a threat is credible. {misses}

**Probabilities** are calibrated for the rate of violent posts on a real host (Platt scaling on
out-of-fold scores). At the default threshold {threshold:.4f} it aims at {aim}; on those
out-of-fold scores precision was {precision:.2f} and recall {recall:.2f}.
"""


_LINEAR = """\
A linear model over hashed words, word pairs and character n-grams (int8 weights)."""
_ENCODER = """\
A small transformer fine-tuned from {from}, with int8 weights, and the fast n-gram model beside it;
their logits are added with the weights {mix[encoder]:.2f} and {mix[fast]:.2f}. The folder serves
three tiers: `accurate` (both for every text), `cascade` (the transformer only where the fast model
says {band[low]:.4f} to {band[high]:.4f}) and `fast`."""
_LINEAR_MISSES = """\
The model sees words, not meaning: veiled calls are missed, and reports, quotations and figures of
speech with violent words are flagged (see the tables below)."""
_ENCODER_MISSES = """\
What it gets wrong is told below, in figures by capability and in kinds of error."""


def _cascade(cascade: Mapping[str, Any] | None, encoder: Mapping[str, Any] | None) -> str:
    """Tell what reading only the uncertain texts costs."""
    if cascade is None or encoder is None:
        return ""
    band = encoder["band"]
    lines = [
        "## Cascade",
        "",
        f"The encoder reads texts whose fast score is {band['low']:.4f} to {band['high']:.4f}.",
        "The band was chosen on rows held out of the train part so that average precision at the",
        "natural rate stays within 0.01 of that of reading everything. Average precision:",
        "",
        "| test part | rows | read by the encoder | fast | cascade | accurate |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {values['rows']:,} | {values['share']:.1%} | {values['fast']:.3f} | "
        f"{values['cascade']:.3f} | {values['accurate']:.3f} |"
        for name, values in cascade.items()
    ]
    return "\n".join([*lines, ""])


def _interval(values: list[float | None] | None) -> str:
    if not values or values[0] is None:
        return "-"
    if values[1] is None:
        return f"{values[0]:.3f}"
    return f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"


def _sources(sources: Mapping[str, Any]) -> str:
    if not sources:
        return ""
    lines = [
        "## Figures on the test part, by source",
        "",
        "Rows of near-duplicate groups that trained nothing and tuned nothing. In brackets 95%",
        "bootstrap intervals; precision, recall and false positives at the default threshold.",
        "",
        "| source | rows | positive | average precision | precision | recall | false positives |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, values in sources.items():
        cells = [
            _interval(values.get(key))
            for key in ("average_precision", "precision", "recall", "false_positive_rate")
        ]
        lines.append(
            f"| {name} | {values['rows']:,} | {values['positives']:,} | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, ""])


def _thresholds(thresholds: Mapping[str, Any]) -> str:
    lines = [
        "## Thresholds", "",
        "Measured on scores of the natural source that the model had not seen the labels of, which",
        "chose them. In brackets 95% Wilson intervals.", "",
        "| name | threshold | aim | precision | recall | false positives |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, values in thresholds.items():
        cells = [
            _interval([values[key], *values[f"{key}_interval"]])
            for key in ("precision", "recall", "false_positive_rate")
        ]
        lines.append(
            f"| {name} | {values['threshold']:.4f} | {values['aim']} | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, ""])


def _suite(suite: Mapping[str, Any] | None) -> str:
    if suite is None:
        return ""
    table = suite["capabilities"]
    order = sorted(table, key=lambda name: table[name]["right"])
    weakest = ", ".join(f"{name} ({table[name]['right']:.0%})" for name in order[:8])
    summary = (
        f"{suite['cases']:,} written cases, {suite['right']:.1%} right at the default threshold "
        f"({suite['right_positive']:.1%} of positives, {suite['right_negative']:.1%} of "
        f"negatives; ROC AUC {suite['roc_auc']:.3f}). Weakest: {weakest}."
    )
    lines = [
        "## Case suite, test part", "", summary, "",
        "| capability | label | cases | right |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {name} | {table[name]['label']} | {table[name]['cases']} | {table[name]['right']:.0%} |"
        for name in order
    ]
    return "\n".join([*lines, ""])


def _attacks(attacks: Mapping[str, Any] | None) -> str:
    if attacks is None:
        return ""
    lines = [
        "## Spelling attacks", "",
        "Held-out positives with half of their words obfuscated, recall at the default threshold.",
        "", "| attack | texts | recall | lost |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {name} | {values['texts']:,} | {values['recall']:.3f} | {values['lost']:+.3f} |"
        for name, values in attacks.items()
    ]
    return "\n".join([*lines, ""])


def _heads(heads: Mapping[str, Any]) -> str:
    if not heads:
        return ""
    lines = [
        "## Kind and targets", "",
        "On positive rows, out of fold, each name against the rest at its best F1.", "",
        "| name | support | average precision | precision | recall | F1 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, values in heads.items():
        if name == "kind":
            continue
        cells = [
            "-" if values.get(key) is None else f"{values[key]:.2f}"
            for key in ("average_precision", "precision", "recall", "f1")
        ]
        lines.append(f"| {name} | {values['support']:,} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _errors(name: str) -> str:
    """Return what people found when they read a model's errors, where that was written down."""
    path = _CARDS / f"{name}.md"
    return path.read_text("utf-8") if path.exists() else ""


def _data(data: list[Mapping[str, Any]]) -> str:
    lines = [
        "## Data", "", "| source | rows used | positive | licence |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {row['source']} | {row['rows']:,} | {row['positives']:,} | {row['licence']} |"
        for row in data
    ]
    return "\n".join([*lines, ""])
