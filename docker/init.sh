#!/bin/sh
# Brings Airflow's database to this release and its first user and pool into it. Harmless to repeat; runs at every start.
set -eu
user=${AIRFLOW_ADMIN_USER:?name the first user of the Airflow UI}

# both commands ask for the password twice; an argument could be read by anybody on the machine
answers() {
    for _ in 1 2; do
        tr -d '\r\n' </run/secrets/admin_password
        echo
    done
}

airflow db migrate
answers | airflow users create --username "$user" --role Admin \
    --firstname "$user" --lastname Administrator --email "$user@localhost"
# a user that was there before keeps its old password otherwise
answers | airflow users reset-password --username "$user"
airflow pools set duckdb_writer 2 "One task writes to the warehouse, one more prepares"
