#!/usr/bin/env bash
# Whether the files beside it are what their programs take. What could not be asked is said, and the answer is then no.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
missing=0

has() {
    command -v "$1" > /dev/null && return
    echo "not checked: $2 ($1 is missing)"
    missing=1
    return 1
}

has bash "shell scripts" && bash -n check.sh postgres/primary.sh postgres/replica.sh

# Names that only the network of compose knows, and limits that only root may raise.
as_here() {
    sed -e 's/tertulia-[12]:4000/127.0.0.1:4000/' -e 's#include mime.types#include /etc/nginx/mime.types#' -e 's/^worker_rlimit_nofile.*//' \
        -e 's/65536/512/' nginx.conf
}
if has nginx nginx.conf; then
    as_here > "$temporary/nginx.conf"
    nginx -t -q -c "$temporary/nginx.conf" -g "pid $temporary/nginx.pid;"
fi

if has systemd-analyze systemd/; then
    for unit in tertulia.service tertulia@.service tertulia-worker.service; do
        sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' "systemd/$unit" > "$temporary/${unit/@./@4001.}"
    done
    systemd-analyze verify "$temporary"/tertulia*.service
fi

if has kubectl kubernetes/; then
    kubectl kustomize kubernetes > "$temporary/kubernetes.yaml"
fi

if docker compose version > /dev/null 2>&1; then
    docker compose --env-file <(sed 's/=$/=secret/' .env.example) --file docker-compose.yml config --quiet
else
    echo "not checked: docker-compose.yml (docker compose is missing)"
    missing=1
fi

if has hadolint Dockerfile; then
    hadolint Dockerfile
fi
exit "$missing"
