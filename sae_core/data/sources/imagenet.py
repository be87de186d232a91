"""ImageNet's classes: WordNet ids (wnids) and the names CLIP knows them by.

The ids in class order come from `timm`, the names in the same order from `open_clip` (OpenAI's list for zero-shot CLIP);
both are packaged with those libraries, so nothing is fetched.
"""

from __future__ import annotations

import re
from functools import lru_cache

WNID = re.compile(r"n\d{8}")


@lru_cache(maxsize=1)
def names_by_wnid() -> dict[str, str]:
    """The 1,000 classes of ImageNet-1k: wnid to name.

    >>> names_by_wnid()["n01440764"]
    'tench'
    """
    # Both libraries take seconds to import, so only folders that need them pay for it.
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data.imagenet_info import ImageNetInfo

    wnids: list[str] = ImageNetInfo("imagenet-1k").label_names()  # type: ignore[no-untyped-call]
    return dict(zip(wnids, IMAGENET_CLASSNAMES, strict=True))


def class_names(folders: list[str]) -> list[str]:
    """What the classes of these folders are called: ImageNet's name for a wnid, else the folder's name with spaces for `_`.

    Two folders that would get one name (`ice_cream` and `ice cream`) keep their folder names.
    """
    known = names_by_wnid() if any(WNID.fullmatch(folder) for folder in folders) else {}
    names = [known.get(folder) or (" ".join(folder.replace("_", " ").split()) or folder) for folder in folders]
    # ImageNet itself has two classes called "missile" and two called "sunglasses" in that list; they stay as they are.
    return [
        folder if names.count(name) > 1 and folder not in known else name for folder, name in zip(folders, names, strict=True)
    ]
