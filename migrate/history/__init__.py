"""What this build carries: Alembic's configuration, what env.py gives away, and the revision files, all read as text.

Never imports Alembic, a revision, env.py or the package they are in: two env.py files in three need the application.
"""

from migrate.history.config import AlembicConfig, ConfigFault, ConfigFaultKind, load_config
from migrate.history.env_py import guess_version_table, may_run_several_times, missing_driver, why_no_application
from migrate.history.scan import Scanned, check_syntax, scan

__all__ = [
    "AlembicConfig",
    "ConfigFault",
    "ConfigFaultKind",
    "Scanned",
    "check_syntax",
    "guess_version_table",
    "load_config",
    "may_run_several_times",
    "missing_driver",
    "scan",
    "why_no_application",
]
