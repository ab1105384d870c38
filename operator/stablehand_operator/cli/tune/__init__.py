"""`stablehand tune`: try a policy on simulated pods, or on recorded metrics of real ones."""
