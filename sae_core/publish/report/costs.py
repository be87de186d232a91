"""What the dictionary costs CLIP: accuracy or caption recall, beside the controls, domain by domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sae_core.figures import conditions_table, controls_bars
from sae_core.publish.report.html import (
    ABSENT,
    Markup,
    absent,
    between,
    count,
    esc,
    figure,
    folded,
    measured,
    number,
    p_value,
    paragraph,
    percent,
    points,
    section,
    table,
)
from sae_core.publish.report.material import Material

PAIRED = ("delta", "delta_ci_low", "delta_ci_high")
KS = (1, 5, 10)
PROMPTS = 100


def zero_shot(material: Material) -> Markup:
    """Accuracy of CLIP, CLIP+SAE and every control, paired."""
    if material.evaluation is None:
        return section(
            "zero-shot", "What it costs CLIP", absent("Not measured.", "evaluate", material.refused.get("evaluate", ""))
        )
    report = material.evaluation.report
    labelled = {name: found for name, found in material.domains.items() if found.get("zero_shot")}
    if not labelled:
        return Markup("")
    parts = [_facts(labelled)]
    drawn = controls_bars(labelled)
    parts.append(figure(drawn, "Zero-shot accuracy of CLIP, CLIP+SAE and the controls, with 95 % Wilson intervals."))
    accuracy = conditions_table(labelled)
    controls = {(name, str(one["name"])): one for name, found in labelled.items() for one in found.get("controls") or []}
    rows = []
    for line in accuracy.to_dict("records"):
        control = controls.get((line["group"], line["condition"]), {})
        own = labelled[line["group"]]["reconstruction"] if line["condition"] == "CLIP+SAE" else control
        rows.append(
            [
                line["group"],
                line["condition"],
                count(line["n"]),
                measured(own, "l0", ".1f"),
                measured(own, "r2"),
                between(line["value"], line["low"], line["high"]),
                points(*(line[key] for key in PAIRED)),
                p_value(line["mcnemar_p"]),
                points(*(control.get(f"sae_ahead{end}") for end in ("", "_ci_low", "_ci_high"))),
            ]
        )
    head = ["domain", "condition", "n", "L0", "R²", "accuracy, %", "against CLIP, points", "McNemar p", "CLIP+SAE ahead, points"]
    parts.append(table("Zero-shot accuracy of held-out images, and the controls at the same L0", head, rows, words=2))
    parts.append(paragraph(f"Paired intervals: {report['interval']}, {report['bootstrap']:,} resamples.", "lead"))
    parts += [_prompts(name, found["zero_shot"]) for name, found in labelled.items()]
    return section("zero-shot", "What it costs CLIP", *parts)


def _facts(labelled: Mapping[str, Mapping[str, Any]]) -> Markup:
    lines = []
    for name, found in labelled.items():
        z, q = found["zero_shot"], found["reconstruction"]
        paired = points(*(z[key] for key in PAIRED))
        lines.append(
            f"<li><strong>{esc(name)}</strong>: {percent(z['accuracy_clip'])} with CLIP, {percent(z['accuracy_sae'])} through "
            f"the dictionary: {paired} points, McNemar p {p_value(z['mcnemar_p'])}; {count(z['lost'])} lost and "
            f"{count(z['gained'])} gained of n = {count(z['n'])} images, with L0 {measured(q, 'l0', '.1f')} and R² "
            f"{measured(q, 'r2')}.</li>"
        )
    return Markup("<ul>" + "\n".join(lines) + "</ul>")


def _prompts(name: str, z: Mapping[str, Any]) -> Markup:
    templates, classes, words = z.get("templates", []), z.get("classes", []), z.get("class_names") or z.get("classes", [])
    put = [f"{one} ({word})" if word != one else str(one) for one, word in zip(classes, words, strict=False)]
    shown = f"{', '.join(put[:PROMPTS])}{' …' if len(put) > PROMPTS else ''}"
    more = f" … and {len(templates) - PROMPTS} more" if len(templates) > PROMPTS else ""
    said = paragraph("Templates: " + " · ".join(map(str, templates[:PROMPTS])) + more) + paragraph("Classes: " + shown)
    return folded(f"Prompts of {name}: {len(templates)} templates, {len(classes)} classes", said)


def recall(material: Material) -> Markup:
    """Caption recall of domains that have captions and no classes."""
    captioned = {name: found for name, found in material.domains.items() if found.get("recall")}
    if not captioned:
        return Markup("")
    rows = []
    for name, found in captioned.items():
        r, q = found["recall"], found["reconstruction"]
        for k in KS:
            ends = [r.get(f"recall_{k}_delta{end}") for end in ("", "_ci_low", "_ci_high")]
            p = p_value(r.get(f"recall_{k}_mcnemar_p"))
            rows.append([name, f"recall@{k}", "CLIP", count(r["n"]), ABSENT, percent(r[f"recall_{k}_clip"]), ABSENT, ABSENT])
            own = number(q["l0"], ".1f")
            rows.append([name, f"recall@{k}", "CLIP+SAE", count(r["n"]), own, percent(r[f"recall_{k}_sae"]), points(*ends), p])
            for control in found.get("controls") or []:
                ends = [control.get(f"recall_{k}_delta{end}") for end in ("", "_ci_low", "_ci_high")]
                p, l0 = p_value(control.get(f"recall_{k}_delta_mcnemar_p")), number(control.get("l0"), ".1f")
                value, n = percent(control.get(f"recall_{k}")), count(control.get("recall_n", r["n"]))
                rows.append([name, f"recall@{k}", control["name"], n, l0, value, points(*ends), p])
    head = ["domain", "measure", "condition", "n", "L0", "recall", "against CLIP, points", "McNemar p"]
    caption = "Own caption among the k nearest of all distinct captions, held-out images"
    return section("recall", "Caption recall", table(caption, head, rows, words=3))


def cross_domain(material: Material) -> Markup:
    """Reconstruction and cost on domains the dictionary was trained on, and on those it was not."""
    if len(material.domains) < 2:
        return Markup("")
    rows = []
    for name, found in material.domains.items():
        q, z = found["reconstruction"], found.get("zero_shot") or {}
        rows.append(
            [
                name,
                "yes" if found.get("trained_on") else "no",
                count(found["rows"]),
                measured(q, "l0", ".1f"),
                *(measured(q, key) for key in ("r2", "r2_uncentred", "cosine")),
                points(*(z.get(key) for key in PAIRED)),
            ]
        )
    head = ["evaluated on", "trained on it", "n", "L0", "R²", "R² uncentred", "cosine", "accuracy change, points"]
    trained = [name for name, found in material.domains.items() if found.get("trained_on")]
    said = f"One dictionary, trained on {' and '.join(trained) or 'none of these domains'}, evaluated on each domain."
    table_ = table("The same dictionary on every domain, held-out images", head, rows, words=2)
    return section("cross-domain", "Across domains", paragraph(said), table_)


def common_classes(material: Material) -> Markup:
    """The view in which domains of different classes can be compared."""
    common = None if material.evaluation is None else material.evaluation.report.get("common")
    if not common:
        return Markup("")
    rows = [
        [
            name,
            count(z["n"]),
            percent(z["accuracy_clip"]),
            percent(z["accuracy_sae"]),
            points(*(z[key] for key in PAIRED)),
            p_value(z["mcnemar_p"]),
        ]
        for name, z in common["domains"].items()
    ]
    classes = ", ".join(map(str, common["classes"]))
    said = (
        "The domains have different classes, so the accuracies above do not compare with each other. Here only images of classes "
        f"that all of them have are classified, among these {len(common['classes'])} classes: {classes}."
    )
    head = ["domain", "n", "CLIP", "CLIP+SAE", "change, points", "McNemar p"]
    return section("common", "Common classes", paragraph(said), table("Accuracy among the common classes", head, rows))
