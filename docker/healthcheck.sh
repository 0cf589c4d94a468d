#!/bin/sh
# healthcheck.sh metadatabase|scheduler|dag_processor|triggerer: is its heartbeat fresh? Airflow's API server knows of all.
set -eu
curl --fail --silent --show-error --max-time 8 "${AIRFLOW_HEALTH_URL:-http://localhost:8080/api/v2/monitor/health}" |
    python3 -S -c 'import json, sys; sys.exit(json.load(sys.stdin)[sys.argv[1]]["status"] != "healthy")' "$1"
