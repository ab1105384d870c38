"""`stablehand tune`: try a policy on simulated pods, or on what real ones were recorded to do."""
