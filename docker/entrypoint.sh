#!/bin/sh
# Hands the mounted secrets to Airflow and libpq as files in memory that only this user can read, then runs the command.
# So no password stands in the environment, in an argument or in a layer of the image.
set -eu
umask 077
secrets=${SECRETS_PATH:-/run/secrets}

for file in "$secrets"/*; do
    if [ -e "$file" ] && ! grep -q '[^[:space:]]' "$file"; then
        echo "The secret ${file##*/} is empty: put a value into its file, or delete the file and run docker/make-secrets.sh." >&2
        exit 78
    fi
done

# secret NAME SED_EXPRESSION...: its value, escaped for the file it goes to
secret() {
    name=$1
    shift
    sed "$@" "$secrets/$name" | tr -d '\r\n'
}

# password ROLE NAME: the line of the password file for this role, if this service has its secret
password() {
    [ ! -e "$secrets/$2" ] || printf '*:*:*:%s:%s\n' "$1" "$(secret "$2" -e 's/[\\:]/\\&/g')"
}

# option SECTION KEY NAME: the same for Airflow's configuration
option() {
    [ ! -e "$secrets/$3" ] || printf '[%s]\n%s = %s\n\n' "$1" "$2" "$(secret "$3" -e 's/%/%%/g')"
}

{
    password airflow airflow_db_password
    password biomem_reader source_password
    password biomem_writer target_password
} >"$PGPASSFILE"

{
    echo "# Every other setting comes from the environment."
    option core fernet_key fernet_key
    option api secret_key api_secret_key
    option api_auth jwt_secret jwt_secret
} >"$AIRFLOW_CONFIG"

exec "$@"
