"""`python -m stablehand_server` is the command `stablehand-server`."""

from __future__ import annotations

from stablehand_server.cli import main

if __name__ == "__main__":
    main()
