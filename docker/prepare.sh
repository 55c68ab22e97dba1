#!/bin/sh
# Makes the secrets that are missing in a folder, and prints the settings of compose.yaml; `make up` keeps those in
# docker/.env, so that any `docker compose` command sees the same. Usage: prepare.sh FOLDER IMAGE
set -eu
umask 077
folder=$1 image=$2

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
for name in ray_token postgres_password; do
    [ -s "$folder/$name" ] || random > "$folder/$name"
done
# The file in which PostgreSQL's clients look for a password. They ignore one that others can read.
printf 'postgres:5432:mlflow:mlflow:%s\n' "$(cat "$folder/postgres_password")" > "$folder/pgpass"

# Containers run as whoever starts them, who owns the secrets and the folders that are mounted; never as root.
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
    uid=10001 gid=10001
    chown "$uid:$gid" "$folder"/*
fi

cat <<END
# Written by \`make up\`: what it was told, for every later \`docker compose\` command.
IMAGE=$image
CONVNN_IMAGE_DIGEST=$(docker image inspect --format '{{.Id}}' "$image")
CONVNN_UID=$uid
CONVNN_GID=$gid
SECRETS=$folder
END
for name in COMPOSE_PROFILES COMPOSE_PROJECT_NAME CONVNN_DATA CONVNN_SWEEPS MLFLOW_PORT RAY_PORT POSTGRES_IMAGE \
    WORKERS WORKER_CPUS WORKER_MEMORY; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || printf "%s=%s\n" "$name" "$value"
done
