"""What the files of a Space say that are neither code nor data: README, Dockerfile, .dockerignore."""

from __future__ import annotations

import json

from sae_core.config.public import LIMITS
from sae_core.publish.card import BUNDLED_NOTE, embeds
from sae_core.publish.licences import Licences, front_matter, plain
from sae_core.publish.run import Run

PLAN_NOTE = (
    "A Docker Space may need a paid plan of the Hub's. The free way is the static one: `python -m sae_core publish space REPO "
    "--static` pushes the same latents as files that need no server (`publish site DIR` writes them to a folder)."
)
"""Said wherever a Docker Space is offered."""
DOCKERIGNORE = "**/.*\n!.streamlit\n**/__pycache__\n**/*.pyc\n**/secrets.toml\nREADME.md\nDockerfile\n"


def readme(run: Run, port: int, licences: Licences, stated: str | None = None) -> str:
    """The Space's README with its front matter. `stated` is the licence of the dictionary; without one it is not stated."""
    config = run.config
    fields = {
        "title": config.name,
        "emoji": "✏️",
        "colorFrom": "purple",
        "colorTo": "blue",
        "sdk": "docker",
        "app_port": port,
        "pinned": False,
        **front_matter(stated or licences.dictionary),
    }
    head = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())
    images = "\n".join(f"- {domain}: {licences.of(config, domain)}" for domain in config.data)
    parts = [
        f"---\n{head}\n---",
        f"# {plain(config.name)}: a sparse autoencoder on CLIP, to look into",
        f"Sketch SAE Lab with run `{run.id}` in it. Everyone sees this run and nobody can change it. Visitors may train a "
        f"dictionary of their own, one visitor at a time, with {LIMITS.words()}; they alone see it, and it is gone a day after "
        "its last use, or when the Space restarts.",
        BUNDLED_NOTE if config.clip.model == "bundled" and embeds(config) else "",
        f"## Images\n{images}",
        "## Running it\nThe Space needs no secret. A visitor who has latents named by a vision model gives a key of their own, "
        "which is kept for the visit, in memory alone; a key or token of the owner's is used for nobody. What the container "
        "writes, it writes below its home folder.\n\n"
        f"Elsewhere: `docker build -t lab . && docker run -p {port}:{port} lab`. The image holds PyTorch as pip "
        "installs it, several GB.",
        f"## Cost\n{PLAN_NOTE}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def dockerfile(port: int, baked: str) -> str:
    """The Dockerfile: a slim Python, a user of id 1000 who can write only below HOME, tini, a health check."""
    health = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/_stcore/health', timeout=5)"
    command = [
        "python",
        "-m",
        "streamlit",
        "run",
        "serve.py",
        f"--server.port={port}",
        "--server.address=0.0.0.0",
        "--server.headless=true",
        "--server.enableXsrfProtection=true",
        "--browser.gatherUsageStats=false",
    ]
    return f"""FROM python:3.11-slim

RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 visitor

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

# As root, and with nothing left writable: the app's user can change neither the app nor the run.
COPY . .
RUN chmod -R a-w,a+rX /app

USER 1000
ENV HOME=/home/visitor
ENV PYTHONDONTWRITEBYTECODE=1
ENV PYTHONUNBUFFERED=1
ENV SAE_LAB_PUBLIC=1
ENV SAE_LAB_CACHE={baked}
# The Hub shows the Space in a frame of another site, where only such a cookie lets a file be uploaded; it needs https.
ENV STREAMLIT_SERVER_XSRF_COOKIE_SAME_SITE=none

EXPOSE {port}
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s CMD {json.dumps(["python", "-c", health])}
ENTRYPOINT ["tini", "--"]
CMD {json.dumps(command)}
"""
