#!/bin/sh
# Makes the secrets that are missing in a folder, and the folders that will be mounted; prints the settings of
# compose.yaml. `make up` keeps those in docker/.env, so that any `docker compose` command sees the same.
# Usage: prepare.sh FOLDER IMAGE
set -eu
umask 077
CDPATH=
secrets=$1 image=$2

fail() { echo "$1" >&2; exit 1; }
plain() {
    case $1 in *[\'\\]*) fail "no quote or backslash in a path or a name, please: $1" ;; esac
}

# Containers run as whoever starts them, who owns the secrets and the folders that are mounted; never as root.
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
# The file in which PostgreSQL's clients look for a password. They ignore one that others can read.
printf 'postgres:5432:mlflow:mlflow:%s\n' "$(cat "$secrets/postgres_password")" > "$secrets/pgpass"
give "$secrets"/*

# Makes $value the whole path of a folder. Docker would make a missing one as root's, take a bare name for a volume's,
# and look for ./ beside compose.yaml.
mounted() {
    case $value in
        *:*) fail "Docker mounts no folder with a colon in its path: $value" ;;
        "~/"*) value=$HOME/${value#"~/"} ;;  # as it comes from a shell that leaves NAME=~/... alone
    esac
    plain "$value"
    (umask 022 && mkdir -p "$value")
    value=$(cd "$value" && pwd)
    if [ -z "$(ls -A "$value")" ]; then
        give "$value"
    elif [ -n "$root" ] && [ -n "$(find "$value" -prune ! -user "$uid")" ]; then
        echo "$value is not $uid's, as whom containers run; if they shall write there: chown -R $uid:$gid '$value'" >&2
    fi
}

# Single quotes: compose takes what is in them as it is, spaces, # and $ too.
setting() {
    plain "$2"
    printf "%s='%s'\n" "$1" "$2"
}

digest=$(docker image inspect --format '{{.Id}}' "$image")
echo "# Written by \`make up\`: what it was told, for every later \`docker compose\` command."
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
