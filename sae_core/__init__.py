"""Sketch SAE Lab: sparse autoencoders on CLIP image embeddings of sketches.

    import sae_core as sc
    run = sc.run("configs/demo.yaml", cache="cache")

The whole public API is the list in `__init__.pyi`; names are imported when first used, so that `import sae_core` costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
