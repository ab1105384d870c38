"""What clients and apps see of plain gunicorn and of stablehand-server, case by case and class by class, side by side.

A case is a client's conversation with a server; its outcome is a short text. It runs on both servers at the same time,
and ours has to have gunicorn's outcome, unless `differences.yaml` explains why not. `docs/conformance.md` shows all.
"""
