#!/bin/sh
# First steps of an installation. Run it in the checkout, as root; the same call again changes
# nothing that is there.
#
#   sh deploy/install.sh            one machine: user, folders, secrets, the service of systemd
#   sh deploy/install.sh --team     one host for a team: passwords, and the files of secrets
#   sh deploy/install.sh --pin      look up the digests of the base images, into deploy/images.env
#
# DESTDIR is put before every path outside of the checkout (for packages, and for the tests).
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }

owned() { # owned USER MODE FILE: by whoever reads it, and by nobody else
    chmod "$2" "$3"
    if [ "$(id -u)" = 0 ] && [ -z "$root" ]; then chown "$1" "$3"; fi
}

machine() {
    if [ -z "$root" ]; then
        id damp >/dev/null 2>&1 ||
            useradd --system --home-dir /srv/damp --shell /usr/sbin/nologin damp
    fi
    for folder in srv/damp srv/damp-data etc/damp etc/damp/keys; do
        mkdir -p "$root/$folder"
    done
    owned damp 700 "$root/srv/damp"
    owned damp 700 "$root/etc/damp/keys"
    chmod 755 "$root/srv/damp-data" "$root/etc/damp"
    [ -e "$root/etc/damp/secrets.json" ] ||
        printf '{"DAMP_KEY_PASSPHRASE": "%s"}\n' "$(random)" >"$root/etc/damp/secrets.json"
    chmod 600 "$root/etc/damp/secrets.json" # root's: systemd hands the service a copy
    mkdir -p "$root/etc/systemd/system"
    cp "$here/damp.service" "$root/etc/systemd/system/damp.service"
    chmod 644 "$root/etc/systemd/system/damp.service"
    echo "Next: make a key (deploy/README.md), then systemctl enable --now damp"
}

team() {
    places=$root${DAMP_SECRETS_FOLDER:-$here/secrets}
    mkdir -p "$places" "$root${DAMP_KEYS:-$here/keys}"
    owned 10001 700 "$root${DAMP_KEYS:-$here/keys}"
    if [ ! -e "$places/worker.json" ]; then
        database=$(random) page=damp:$(random) files=damp:$(random) passphrase=$(random)
        url=damp:$database@postgres
        printf '%s' "$database" >"$places/postgres"
        cat >"$places/prefect.json" <<END
{"application": "prefect.server.api.server:create_app", "port": 4200, "address": "0.0.0.0",
 "hosts": ["127.0.0.1", "localhost", "prefect"],
 "variables": {"PREFECT_SERVER_API_AUTH_STRING": "$page", "PREFECT_API_AUTH_STRING": "$page",
  "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1:4200,http://localhost:4200",
  "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://$url/prefect"}}
END
        cat >"$places/mlflow.json" <<END
{"application": "flows.registry.mlflow_server:application", "port": 5000, "address": "0.0.0.0",
 "hosts": ["127.0.0.1", "localhost", "mlflow"], "auth": "$files",
 "arguments": {"database": "postgresql+psycopg2://$url/mlflow",
  "artifacts": "file:///srv/damp/mlartifacts"}}
END
        cat >"$places/worker.json" <<END
{"DAMP_KEY_PASSPHRASE": "$passphrase", "DAMP_PREFECT_AUTH": "$page",
 "DAMP_MLFLOW_AUTH": "$files", "DAMP_LOCKS_URL": "postgresql://$url/locks"}
END
    fi
    owned 999 400 "$places/postgres"
    for file in prefect mlflow worker; do owned 10001 400 "$places/$file.json"; done
    echo "Passwords of the pages: PREFECT_SERVER_API_AUTH_STRING and auth in $places"
}

pin() {
    tool=$(command -v podman || command -v docker)
    for pair in BASE=docker.io/library/python:3.11-slim \
        POSTGRES_IMAGE=docker.io/library/postgres:15; do
        "$tool" pull --quiet "${pair#*=}" >/dev/null
        digest=$("$tool" image inspect --format '{{index .RepoDigests 0}}' "${pair#*=}")
        echo "${pair%%=*}=$digest"
    done >"$here/images.env"
    cat "$here/images.env"
}

case ${1:-} in
"") machine ;;
--team) team ;;
--pin) pin ;;
*) echo "usage: install.sh [--team | --pin]" >&2 && exit 1 ;;
esac
