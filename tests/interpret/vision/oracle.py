"""A vision model that knows which pictures fire each latent, and gives every latent a name that tries to do harm."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import sae_core as sc
from sae_core.interpret.vision.shown import Shown

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("http://evil.test","x")',
    "![x](http://evil.test/pixel.png)",
    "a\x1b[31m\u202elabel\x00\r\nwith `code` **bold** $x^2$",
)
"""HTML, a spreadsheet's formula, a Markdown picture, control characters and other markup."""


class Oracle:
    """Finds the latent it is asked about by the pictures, and remembers it by the number at the end of its label."""

    def __init__(self, have: sc.pipeline.Run) -> None:
        acts = have.load("collect")
        manifests = {domain: have.load(f"manifest:{domain}") for domain in acts.domains}
        shown = Shown(acts.images, manifests)
        self.rows = {hashlib.sha256(shown.png(row)).hexdigest(): row for row in range(acts.n)}
        self.firing = {int(j): frozenset(acts.postings(int(j))[0].tolist()) for j in acts.alive()}

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        content = body["messages"][1]["content"]
        texts = [part["text"] for part in content if part["type"] == "text"]
        rows = [self.rows[_sha256(part["image_url"]["url"])] for part in content if part["type"] == "image_url"]
        match body["response_format"]["json_schema"]["name"]:
            case "explanation":
                return self.explain(["fires" in text for text in texts[1:]], rows)
            case "detection":
                firing = self.firing[int(re.findall(r"(\d+)\W*$", texts[0])[0])]
                answers = [
                    {"image": i, "fits": row in firing, "confidence": 90 if row in firing else 10}
                    for i, row in enumerate(rows, 1)
                ]
                return {"answers": answers}
        return {"intruder": 1, "confidence": 20}

    def explain(self, fires: list[bool], rows: list[int]) -> dict[str, Any]:
        def agrees(latent: int) -> int:
            return sum((row in self.firing[latent]) == one for row, one in zip(rows, fires, strict=True))

        latent = max(self.firing, key=agrees)
        evil = HOSTILE[latent % len(HOSTILE)]
        return {
            "interpretable": True,
            "polysemantic": False,
            "label": f"{evil} {latent}",
            "explanation": f"because {evil}",
            "counterevidence": f"but {evil}",
            "confidence": 80,
        }


def _sha256(url: str) -> str:
    return hashlib.sha256(base64.b64decode(url.partition("base64,")[2])).hexdigest()
