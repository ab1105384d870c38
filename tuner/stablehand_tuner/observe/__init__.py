"""From scrapes to observations: what happened on a pod between two moments."""
