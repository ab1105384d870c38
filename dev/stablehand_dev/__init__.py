"""Tools of this repository: a cluster to develop on, images, the demo. Nothing here is released."""
