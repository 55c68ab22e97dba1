#!/bin/sh
# Creates the missing secrets in a folder, and the folders to mount; prints the settings of compose.yaml. `make up` saves
# them in docker/.env, so that every `docker compose` command uses the same settings.
# Usage: prepare.sh FOLDER IMAGE
set -eu
umask 077
CDPATH=
secrets=$1 image=$2

fail() { echo "$1" >&2; exit 1; }
plain() {
    case $1 in *[\'\\]*) fail "paths and names must not have a quote or a backslash, got: $1" ;; esac
}

# Containers run as the user who starts them and who owns the secrets and the mounted folders; never as root.
uid=$(id -u) gid=$(id -g) root=
if [ "$uid" = 0 ]; then
    uid=10001 gid=10001 root=yes
fi
give() { [ -z "$root" ] || chown "$uid:$gid" "$@"; }

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
mkdir -p "$secrets"
secrets=$(cd "$secrets" && pwd)
for name in ray_token postgres_password; do
    [ -s "$secrets/$name" ] || random > "$secrets/$name"
done
# PostgreSQL's clients read the password from this file. They ignore it if others can read it.
printf 'postgres:5432:mlflow:mlflow:%s\n' "$(cat "$secrets/postgres_password")" > "$secrets/pgpass"
give "$secrets"/*

# Sets $value to the absolute path of a folder. Docker would create a missing folder as root, take a bare name for a
# volume, and look for ./ next to compose.yaml.
mounted() {
    case $value in
        *:*) fail "Docker cannot mount a folder with a colon in its path: $value" ;;
        "~/"*) value=$HOME/${value#"~/"} ;;  # some shells do not expand NAME=~/...
    esac
    plain "$value"
    (umask 022 && mkdir -p "$value")
    value=$(cd "$value" && pwd)
    if [ -z "$(ls -A "$value")" ]; then
        give "$value"
    elif [ -n "$root" ] && [ -n "$(find "$value" -prune ! -user "$uid")" ]; then
        echo "$value does not belong to user $uid of the containers; to let them write there: chown -R $uid:$gid '$value'" >&2
    fi
}

# Single quotes: compose takes their content literally, including spaces, # and $.
setting() {
    plain "$2"
    printf "%s='%s'\n" "$1" "$2"
}

digest=$(docker image inspect --format '{{.Id}}' "$image")
echo "# Written by \`make up\`: its settings, for every later \`docker compose\` command."
setting IMAGE "$image"
setting CONVNN_IMAGE_DIGEST "$digest"
setting CONVNN_UID "$uid"
setting CONVNN_GID "$gid"
setting SECRETS "$secrets"
for name in COMPOSE_PROFILES COMPOSE_PROJECT_NAME CONVNN_DATA CONVNN_SWEEPS MLFLOW_PORT RAY_PORT POSTGRES_IMAGE \
    WORKERS WORKER_CPUS WORKER_MEMORY; do
    eval "value=\${$name:-}"
    case $name in CONVNN_DATA | CONVNN_SWEEPS) [ -z "$value" ] || mounted ;; esac
    [ -z "$value" ] || setting "$name" "$value"
done
