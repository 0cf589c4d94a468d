#!/bin/sh
# Makes the databases and the roles, each with the least it needs. Harmless to repeat; runs at every start, so that a
# changed password file takes effect.
set -eu
for file in /run/secrets/*; do
    if ! grep -q '[^[:space:]]' "$file"; then
        echo "The secret ${file##*/} is empty: put a value into its file, or delete the file and run docker/make-secrets.sh." >&2
        exit 78
    fi
done
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
exec psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host postgres --username postgres --dbname postgres \
    --file /docker/databases.sql
