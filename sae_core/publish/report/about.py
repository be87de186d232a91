"""Where the numbers come from: configuration, data, encoder, artifacts, versions."""

from __future__ import annotations

from sae_core.config import dump_yaml, sparsity
from sae_core.publish.card import BUNDLED_NOTE, embeds
from sae_core.publish.report.html import Markup, code, count, folded, paragraph, section, table
from sae_core.publish.report.material import Material


def provenance(material: Material) -> Markup:
    """What was run on what, with which versions."""
    run = material.run
    config = run.config
    clip = f"{config.clip.model}/{config.clip.pretrained}" if config.clip.pretrained else config.clip.model
    data = []
    for domain, source in config.data.items():
        encoder = (source.encoder or "not said") if source.source == "arrays" else clip
        trained = "yes" if domain in config.train_domains else "no"
        manifest = material.manifests.get(domain)
        sizes = (
            [None] * 3 if manifest is None else [len(manifest.classes), *(len(manifest.split_rows(s)) for s in ("train", "test"))]
        )
        rendering = "" if manifest is None else manifest.rendering
        data.append([domain, source.source, rendering, encoder, trained, *map(count, sizes)])
    sae = config.sae
    dictionary = f"{sae.architecture.kind} ({sparsity(sae.architecture)}), width {sae.width:,}, seed {sae.seed}"
    artifacts = [
        [node, receipt["key"], receipt["created"][:19].replace("T", " ") + " UTC"] for node, receipt in material.receipts.items()
    ]
    versions = sorted({(name, version) for one in material.receipts.values() for name, version in one["versions"].items()})
    hosts = sorted({str(one["host"]) for one in material.receipts.values()})
    return section(
        "provenance",
        "Provenance",
        paragraph(BUNDLED_NOTE.replace("**", "")) if config.clip.model == "bundled" and embeds(config) else "",
        paragraph(f"Dictionary: {dictionary}."),
        table(
            "Data, by domain",
            ["domain", "source", "rendering", "encoder", "trained on", "classes", "n train", "n test"],
            data,
            words=5,
        ),
        table("Artifacts", ["node", "key", "made"], artifacts, words=3),
        table("Versions", ["package", "version"], versions, words=2),
        paragraph("Machine: " + "; ".join(hosts)) if hosts else "",
        folded("Configuration, as YAML", code(dump_yaml(config)), is_open=True),
    )
