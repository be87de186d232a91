"""A run as a Docker Space, which may need a paid plan of the Hub's; the static site is the free way."""

from sae_core.publish.space.bundle import Bundle as Bundle
from sae_core.publish.space.bundle import write_bundle as write_bundle
from sae_core.publish.space.push import push_space as push_space
from sae_core.publish.space.push import write_space as write_space
from sae_core.publish.space.words import PLAN_NOTE as PLAN_NOTE
