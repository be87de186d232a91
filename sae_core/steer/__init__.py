"""Steering: edits of latents, what they change, and the stage. The package itself can be called: `sc.steer(x, recipe, sae)`.

The public function and this package bear the same name, and importing a package binds its name in its parent. So that
`sae_core.steer` is the function whichever came first, the package's class answers the call.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Steer(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> "NDArray[np.float32]":
        """`sae_core.steer.edits.steer`."""
        from sae_core.steer.edits import steer

        return steer(*args, **kwargs)


sys.modules[__name__].__class__ = _Steer
