"""The drawing of the packages in docs/architecture.md, generated from what the code imports."""
