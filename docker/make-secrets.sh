#!/bin/sh
# Makes every secret that is not there yet; never overwrites one.
#   docker/make-secrets.sh                in secrets/ of the project; makes .env as well
#   docker/make-secrets.sh DIRECTORY      elsewhere; name the directory in .env
# The files are readable because containers run as other users than you; the directory lets nobody in but you.
set -eu
cd "$(dirname "$0")/.."
directory=${1:-secrets}
[ $# -gt 0 ] || [ -e .env ] || cp .env.example .env
mkdir -p "$directory"
chmod 700 "$directory"

random() {
    head -c "$1" /dev/urandom
}

# keep NAME: writes standard input to the secret NAME unless it exists
keep() {
    file=$directory/$1.txt
    if [ -e "$file" ]; then
        cat >/dev/null
    else
        cat >"$file"
        chmod 444 "$file"
        echo "made $file"
    fi
}

for name in postgres airflow_db agent source target; do
    random 24 | od -An -v -tx1 | tr -d ' \n' | keep "${name}_password"
done
random 9 | od -An -v -tx1 | tr -d ' \n' | keep admin_password
for name in api_secret_key jwt_secret; do
    random 64 | base64 | tr -d '\n' | keep "$name"
done
# Fernet wants 32 bytes in base64 for URLs
random 32 | base64 | tr '+/' '-_' | keep fernet_key
