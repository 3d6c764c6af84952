"""Write a trained model as an artifact with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from hostrisk.artifact import WORDS, Artifact, save_with_golden
from hostrisk.files import atomic_writer
from hostrisk.report.charts import reliability_chart, standalone
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


def export(
    out: Path,
    model: LinearModel,
    heads: Heads,
    words: NDArray[np.int8],
    manifest: Mapping[str, Any],
) -> Artifact:
    """Write the folder twice: once to score the golden texts, once with their scores in it."""
    tables = {"main": model.weights, "heads": np.ascontiguousarray(heads.table), WORDS: words}
    tensors = save(tables)
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
    if bins := artifact.manifest["metrics"].get("reliability"):
        with atomic_writer(out / "reliability.svg") as file:
            limit = artifact.thresholds["default"]
            file.write(standalone(reliability_chart(bins, threshold=limit)).encode())
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
        _reliability(manifest["metrics"]),
        _cascade(manifest["metrics"].get("cascade"), encoder),
        _suite(manifest["metrics"].get("suite")),
        _robustness(manifest["metrics"].get("robustness")),
        _fairness(manifest["metrics"].get("fairness")),
        _languages(manifest.get("language")),
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


def _robustness(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    lines = [
        "## Under attack", "",
        f"{found['positives']:,} violent posts of the test part, half of their words changed or",
        f"all of the text; recall at the threshold *{found['at']}* (`hostrisk attack`).", "",
        "| attack | recall | lost |", "| --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {name} | {recall:.3f} | {lost:+.3f} |"
        for name, (recall, lost) in found["attacks"].items()
    ]
    noise = "; ".join(
        f"{flagged:,} of {texts:,} {name}" for name, (texts, flagged) in found["noise"].items()
    )
    return "\n".join([*lines, "", f"Harmless generated strings flagged: {noise}.", ""])


def _fairness(found: Mapping[str, Any] | None) -> str:
    """Tell the audit in short; docs/fairness.md says what each figure means."""
    if found is None:
        return ""
    means, lowest = found["means"], found["lowest"]
    lines = [
        "## Fairness", "",
        f"`hostrisk audit`, at the threshold *{found['at']}*; method and limits: docs/fairness.md.",
        "", "| over the groups of people | mean area | lowest |", "| --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {name.upper() if name != 'subgroup' else name} | {means[name]:.3f} | "
        f"{lowest[name][1]:.3f} ({lowest[name][0]}) |"
        for name in lowest
    ]
    if found["posts_means"]:
        lines += [
            f"| {name} on posts of the test part | {value:.3f} | "
            f"{found['posts'][name][1]:.3f} ({found['posts'][name][0]}) |"
            for name, value in found["posts_means"].items()
        ]
    lines += [
        "", "| harmless texts | texts | flagged |", "| --- | --- | --- |",
        *(f"| {name.replace('_', ' ')} | {texts:,} | {flagged / texts:.1%} |"
          for name, (texts, flagged) in found["slices"].items()),
        "", "| dialects | African-American English | white-aligned | ratio |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {b:,} of {a:,} | {d:,} of {c:,} | {ratio:.2f} ({low:.2f} to {high:.2f}) |"
          for name, (a, b, c, d, ratio, low, high) in found["dialects"].items()),
        "", f"Swapping political sides moves the probability by {means['side_change']:.3f} on",
        "average over the audit's own sentences.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _languages(language: Mapping[str, Any] | None) -> str:
    if language is None:
        return ""
    return (
        f"## Languages\n\nTrained for: {', '.join(language['names'])}. A post of which more than "
        f"{language['limit']:.0%} of the words\nare not among the model's 16,384 most common ones "
        "(one known word is added to each post) is\n`supported=False`, and never found harmless; "
        "docs/limits.md has the figures.\n"
    )


def _reliability(metrics: Mapping[str, Any]) -> str:
    """Tell whether probabilities mean what they say, by a plot and the table it is drawn from."""
    bins = metrics.get("reliability")
    if not bins:
        return ""
    lines = [
        "## Reliability", "",
        "On posts of the natural source in the test part. ![Reliability plot](reliability.svg)", "",
        "| probability from | to | posts | mean | violent |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {place['low']:.4f} | {place['high']:.4f} | {place['rows']:,} | "
        f"{place['mean_score']:.4f} | {place['positive_share']:.4f} |"
        for place in bins
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
