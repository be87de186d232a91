"""Running any function over shard ids, on one process or several; knows nothing of CLIP or SAEs."""

from sae_core.scale.executors import EXECUTORS, map_shards

__all__ = ["EXECUTORS", "map_shards"]
