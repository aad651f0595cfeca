#!/bin/sh
# The first step with Docker Compose: makes .env, secrets, config and backups, with generated values.
# It changes nothing that is there, so it can run again, and does at each upgrade.
#
#   ./setup.sh                asks for the server's name and for Takaro's registration token
#   TAKARO_SERVER_NAME='My server' TAKARO_REGISTRATION_TOKEN=... ./setup.sh </dev/null     asks nothing
set -eu
umask 077
cd "$(dirname "$0")"

random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# The value that a variable has in .env. Compose reads more ways of quoting than these.
value() {
    text=$(sed -n "s/^$1=//p" .env | tail -n 1 | tr -d '\r')
    case $text in
        \'*\' | \"*\") printf %s "$text" | sed -e 's/^.//' -e 's/.$//' -e "s/\\\\\\(['\"]\\)/\\1/g" ;;
        *) printf %s "$text" | sed -e 's/[[:space:]]#.*//' -e 's/[[:space:]]*$//' ;;
    esac
}

# Writes one secret, unless it is there. Until 0.1 secrets were lines of .env: they move.
# Containers read them as other users, so each may be read by all; the folder lets in its owner alone.
secret() {
    old=$(value "$2")
    if [ -s "secrets/$1" ] && [ "${old:-$(cat "secrets/$1")}" != "$(cat "secrets/$1")" ]; then
        echo "$2 of .env is not used: secrets/$1 has another value. Take one of them away."
        return
    fi
    [ -s "secrets/$1" ] || printf %s "${old:-$3}" >"secrets/$1"
    chmod 644 "secrets/$1"
    if grep -q "^$2=" .env; then
        grep -v "^$2=" .env >.env.new || true
        mv .env.new .env
        [ -z "$old" ] || echo "$2 of .env is now in secrets/$1."
    fi
}

# Asks where somebody can answer.
ask() {
    [ -t 0 ] || return 0
    printf '%s\n> ' "$1" >&2
    read -r answer
    printf %s "$answer"
}

mkdir -p secrets config backups
chmod 755 config
[ -e .env ] || cp .env.example .env
# Until 0.1 an address had its port in it.
sed -E 's/^(MODS|ADMIN)_ADDRESS=(.*):([0-9]+)/\1_ADDRESS=\2\n\1_PORT=\3/' .env >.env.new
mv .env.new .env

name=$(value TAKARO_SERVER_NAME)
if [ -z "$name" ] && [ ! -e config/relay.toml ]; then
    name=${TAKARO_SERVER_NAME:-$(ask 'The name of your server in Takaro, 3 to 50 characters. Takaro keeps it for ever.')}
    if [ -n "$name" ]; then
        # Between single quotes Compose takes each character as it is, but the quote itself.
        LINE="TAKARO_SERVER_NAME='$(printf %s "$name" | sed "s/'/\\\\'/g")'"
        export LINE
        awk '/^TAKARO_SERVER_NAME=/ { $0 = ENVIRON["LINE"] } 1' .env >.env.new
        mv .env.new .env
    fi
fi

token=${TAKARO_REGISTRATION_TOKEN:-}
if [ -z "$token" ] && [ ! -s secrets/registration_token ] && [ -z "$(value TAKARO_REGISTRATION_TOKEN)" ]; then
    token=$(ask "Takaro's registration token: Settings, Game Servers, Add Game Server, Generic. Empty: later.")
fi
secret registration_token TAKARO_REGISTRATION_TOKEN "$token"
secret redis_password REDIS_PASSWORD "$(random)"
secret admin_token RELAY_MODAPI__ADMIN_TOKEN "$(random)"
secret grafana_password GRAFANA_PASSWORD "$(random)"
secret discord_url RELAY_ALERTS__DISCORD_URL ""
secret identity_token TAKARO_IDENTITY_TOKEN "${name:+$(random)}"
secret mod_key RELAY_INSTANCE__0__MOD_KEYS "${name:+$(random)}"

# Behind sudo, or in a container, all of it belongs to the owner of this folder.
[ "$(id -u)" != 0 ] || chown -R --reference=. .env secrets config backups

cat <<END

Made: .env, secrets, config, backups. Keep a copy of the first three: without secrets/identity_token
Takaro would see a new server.
END
port() { [ "$(value "$1")" ] && value "$1" || echo "$2"; }
mods=$(value RELAY_MODAPI__PUBLIC_URL)
if [ -n "$name" ]; then
    cat <<END

Takaro will know your server by this name, for ever. If it is not right, change it in .env now:
    $name

The mod's config.json gets:
    "TakaroApiUrl": "${mods:-http://127.0.0.1:$(port MODS_PORT 8088)}/k/$(cat secrets/mod_key)",
    "RegistrationToken": "$(cat secrets/mod_key)"
END
fi
cat <<END

Start the relay:
    docker compose up --build --detach
Its page is http://127.0.0.1:$(port ADMIN_PORT 9088)/ and asks for this token:
    $(cat secrets/admin_token)
END
