"""The gunicorn application: gunicorn's flags, configuration files and environment, run by the LiveArbiter."""

from __future__ import annotations

import copy
import os
import sys
from typing import TYPE_CHECKING

from gunicorn.app.base import BaseApplication
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.config import Config

from stablehand_server import flags, workers
from stablehand_server.arbiter import LiveArbiter
from stablehand_server.termination import write_termination_message

if TYPE_CHECKING:
    from stablehand_tuner.settings import Settings
