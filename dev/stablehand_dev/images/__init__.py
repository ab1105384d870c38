"""The container images of this repository, built from its Dockerfile and brought to a cluster.

images = ensure(cluster)
images.operator       # stablehand/operator:TAG
"""

from stablehand_dev.images.model import Images
from stablehand_dev.images.provision import ensure

__all__ = ["Images", "ensure"]
