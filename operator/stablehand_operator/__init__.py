"""The operator: reconciles each `WSGIApp` into its manifests, watches its pods, and tunes them while they serve."""
