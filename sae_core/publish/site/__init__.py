"""The latent browser of a run as static files: a folder that any web server, a static Space or a file manager can show."""

from sae_core.publish.site.write import Site, write_site

__all__ = ["Site", "write_site"]
