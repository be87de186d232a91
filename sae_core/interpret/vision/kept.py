"""Finished records on the way: a file of JSON lines in the stage's partial folder, with what was spent until then."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from sae_core.interpret.vision import prompts
from sae_core.interpret.vision.job import Record


@dataclass
class Kept:
    """Records by latent and USD spent; a line cut by a kill is passed over."""

    path: Path
    records: dict[int, Record] = field(default_factory=dict)
    spent: float = 0.0

    @classmethod
    def open(cls, path: Path) -> Kept:
        """Read what an earlier attempt kept. Records of other prompts than today's are not taken over."""
        kept = cls(path)
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for line in text.splitlines():
                try:
                    content = json.loads(line)
                except ValueError:
                    continue  # cut by a kill; that latent is asked about again, from the call cache
                kept.spent = max(kept.spent, float(content["spent"]))
                record = content.get("record")
                if record is not None and record["prompt_version"] in (None, prompts.VERSION):
                    kept.records[int(record["latent"])] = record
            if text and not text.endswith("\n"):
                kept._append("\n")
        return kept

    @property
    def finished(self) -> frozenset[int]:
        """Latents that need not be asked about again; those that failed are."""
        return frozenset(latent for latent, record in self.records.items() if record["status"] != "failed")

    def add(self, record: Record, spent: float) -> None:
        """Keep a record, on the disk before this returns."""
        self.records[int(record["latent"])] = record
        self.spent = spent
        self._append(json.dumps({"spent": spent, "record": record}, ensure_ascii=False, allow_nan=False) + "\n")

    def note(self, spent: float) -> None:
        """Keep what was spent beside the records."""
        self.spent = spent
        self._append(json.dumps({"spent": spent}) + "\n")

    def _append(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
