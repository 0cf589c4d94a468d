"""What holds for every test: no test may find, or leave behind, an Airflow home of the person who runs it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# before anything imports Airflow, which reads its home once
_airflow_home = tempfile.mkdtemp(prefix="biomem-tests-airflow-")
atexit.register(shutil.rmtree, _airflow_home, ignore_errors=True)
os.environ.update(
    {
        "AIRFLOW_HOME": _airflow_home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "AIRFLOW__COSMOS__CACHE_DIR": os.path.join(_airflow_home, "cosmos"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
    }
)
