"""Typed, frozen configuration: one pydantic model per stage, read from YAML, every mistake named.

Everything that changes a result is a field here and is hashed into the artifact's key. What does not (device, workers, where a
folder happens to lie) is `Runtime`, or a field marked `local`, and is left out of the hash by `science`.
"""

from sae_core.config import public as public
from sae_core.config.base import LOCAL as LOCAL
from sae_core.config.base import Model as Model
from sae_core.config.base import Runtime as Runtime
from sae_core.config.base import science as science
from sae_core.config.data import ArraySource as ArraySource
from sae_core.config.data import DrawnSource as DrawnSource
from sae_core.config.data import FolderSource as FolderSource
from sae_core.config.data import HubSource as HubSource
from sae_core.config.data import Source as Source
from sae_core.config.data import SourceBase as SourceBase
from sae_core.config.reading import dump_yaml as dump_yaml
from sae_core.config.reading import load_config as load_config
from sae_core.config.reading import override as override
from sae_core.config.reading import parse_yaml as parse_yaml
from sae_core.config.reading import validate as validate
from sae_core.config.recipe import Edit as Edit
from sae_core.config.recipe import Recipe as Recipe
from sae_core.config.sae import Architecture as Architecture
from sae_core.config.sae import AuxK as AuxK
from sae_core.config.sae import BatchTopK as BatchTopK
from sae_core.config.sae import Gated as Gated
from sae_core.config.sae import JumpRelu as JumpRelu
from sae_core.config.sae import KMeans as KMeans
from sae_core.config.sae import Matryoshka as Matryoshka
from sae_core.config.sae import Pca as Pca
from sae_core.config.sae import Random as Random
from sae_core.config.sae import ReluL1 as ReluL1
from sae_core.config.sae import SaeConfig as SaeConfig
from sae_core.config.sae import Splice as Splice
from sae_core.config.sae import TopK as TopK
from sae_core.config.sae import sparsity as sparsity
from sae_core.config.stages import DOMAIN_NAME as DOMAIN_NAME
from sae_core.config.stages import ClipConfig as ClipConfig
from sae_core.config.stages import CollectConfig as CollectConfig
from sae_core.config.stages import DirectionsConfig as DirectionsConfig
from sae_core.config.stages import EvaluateConfig as EvaluateConfig
from sae_core.config.stages import GeometryConfig as GeometryConfig
from sae_core.config.stages import InterpretConfig as InterpretConfig
from sae_core.config.stages import Latents as Latents
from sae_core.config.stages import RunConfig as RunConfig
from sae_core.config.stages import ScanConfig as ScanConfig
from sae_core.config.stages import SteerConfig as SteerConfig
from sae_core.config.stages import StrokesConfig as StrokesConfig
from sae_core.config.stages import VisionConfig as VisionConfig
from sae_core.config.stages import VisualizeConfig as VisualizeConfig
from sae_core.config.sweep import SPARSITY as SPARSITY
from sae_core.config.sweep import SweepConfig as SweepConfig
from sae_core.config.sweep import SweepRun as SweepRun
