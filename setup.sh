#!/bin/sh
# The first step with Docker Compose: makes .env, secrets, config and backups, with generated values.
# It changes nothing that is there, so it can run again, and does at each upgrade.
#
#   ./setup.sh                asks for the server's name, the address of a self-hosted Takaro, its registration token
#   TAKARO_SERVER_NAME='My server' TAKARO_REGISTRATION_TOKEN=... ./setup.sh </dev/null
#                             asks nothing; RELAY_TAKARO__URL=wss://... is for a self-hosted Takaro
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

# Sets a variable in .env. Between single quotes Compose takes each character as it is, but the quote itself.
set_value() {
    LINE="$1='$(printf %s "$2" | sed "s/'/\\\\'/g")'"
    export LINE
    if grep -q "^$1=" .env; then at="$1="; else at="#$1="; fi
    awk -v at="$at" 'index($0, at) == 1 { $0 = ENVIRON["LINE"]; set = 1 } 1
        END { if (!set) print ENVIRON["LINE"] }' .env >.env.new
    mv .env.new .env
}

# Writes one secret, unless it is there. Until 0.1 secrets were lines of .env: they move.
# Containers read them as other users, so each may be read by all; the folder lets in its owner alone.
secret() {
    secrets="$secrets $2 "
    old=$(value "$2")
    if [ -s "secrets/$1" ] && [ "${old:-$(cat "secrets/$1")}" != "$(cat "secrets/$1")" ]; then
        echo "$2 of .env is not used: secrets/$1 has another value. Take one of them away."
        return
    fi
    if [ ! -s "secrets/$1" ]; then
        printf %s "${old:-$3}" >"secrets/$1"
        case $kept in *secrets*) [ -z "${old:-$3}" ] || made="$made, secrets/$1" ;; esac
    fi
    chmod 644 "secrets/$1"
    if grep -q "^$2=" .env; then
        sed "/^$2=/d" .env >.env.new
        mv .env.new .env
        [ -z "$old" ] || echo "$2 of .env is now in secrets/$1."
    fi
}

wrong_name() {
    # Each character has one byte that does not continue another.
    characters=$(($(printf %s "$1" | LC_ALL=C tr -d '\200-\277' | wc -c)))
    case $1 in
        "") ;;
        [[:space:]]* | *[[:space:]]) echo "A name neither begins nor ends with white space." ;;
        *[[:cntrl:]]*) echo "A name has no control characters: was an arrow key pressed?" ;;
        *) [ "$characters" -ge 3 ] && [ "$characters" -le 50 ] ||
            echo "That has $characters characters: Takaro takes a name of 3 to 50." ;;
    esac
}
# What is wrong with the name that stands in .env: nobody was asked for that one, and nothing is changed there.
name_in_env() {
    wrong=$(wrong_name "$name")
    [ -z "$wrong" ] || printf '\n%s' "This name does not do. $wrong"
    case $(sed -n "s/^TAKARO_SERVER_NAME=//p" .env | tail -n 1) in
        \'*) ;;
        *\$*) printf '\n%s' "But Compose replaces what follows a \$: write the name between single quotes (.env.example)." ;;
    esac
}
wrong_url() {
    case $1 in
        *[[:space:]]*) echo "An address has no white space." ;;
        "" | ws://?* | wss://?*) ;;
        *) echo "The address begins with wss:// or ws://, as in wss://connect.example.org/." ;;
    esac
}
wrong_token() {
    case $1 in *[[:space:]]*) echo "A token has no white space: was more than the token copied?" ;; esac
}

# Sets `answer` to the variable $1, or else to what is typed at a terminal. It may be empty. What the function $2
# complains about is asked for again with the question $3.
ask() {
    eval "answer=\${$1:-}"
    [ "$answer" ] || read_answer "$3"
    while wrong=$("$2" "$answer") && [ "$wrong" ]; do
        echo "$1: $wrong" >&2
        [ -t 0 ] || exit 1
        read_answer "$3"
    done
}
read_answer() {
    [ -t 0 ] || return 0
    printf '\n%s\n> ' "$1" >&2
    read -r answer || answer=""
}

# Whether config/relay.toml has servers: then there is none in .env. One that only its owner may read is not looked into.
has_servers() {
    [ -e config/relay.toml ] && { [ ! -r config/relay.toml ] || grep -q '^ *\[\[ *instance' config/relay.toml; }
}

kept="" made="" secrets=""
for one in .env secrets config backups; do
    if [ -e "$one" ]; then kept="$kept, $one"; else made="$made, $one"; fi
done
mkdir -p secrets config backups
chmod 755 config
[ -e .env ] || cp .env.example .env
if [ "$(LC_ALL=C tr -d '\000' <.env | wc -c)" -ne "$(wc -c <.env)" ]; then
    echo ".env: is UTF-16 text, which Compose cannot read: save it as UTF-8 in your editor, and run ./setup.sh again." >&2
    exit 1
fi
# Until 0.1 an address had its port in it.
sed -E "s/^(MODS|ADMIN)_ADDRESS=(['\"]?)(\[[^]]*\]|[^]['\":# ]+):([0-9]+)\2([[:space:]].*)?\$/\1_ADDRESS=\3\n\1_PORT=\4\5/" \
    .env >.env.new
mv .env.new .env

name=$(value TAKARO_SERVER_NAME)
if [ -z "$name" ] && ! has_servers; then
    ask TAKARO_SERVER_NAME wrong_name "The name of your server in Takaro, 3 to 50 characters. Takaro keeps it for ever.
Empty: no server yet, the status page can add some."
    name=$answer
    [ -z "$name" ] || set_value TAKARO_SERVER_NAME "$name"
fi

token="" needs_token=""
[ -s secrets/registration_token ] || [ "$(value TAKARO_REGISTRATION_TOKEN)" ] || needs_token=yes
# Before the token, which goes to this address.
if [ "$needs_token${RELAY_TAKARO__URL:-}" ] && [ -z "$(value RELAY_TAKARO__URL)$(value TAKARO_WS_URL)" ] &&
    ! grep -qs '^ *\[ *takaro' config/relay.toml; then
    ask RELAY_TAKARO__URL wrong_url "The address of your own Takaro's connector, as in wss://connect.example.org/.
Empty: Takaro's cloud."
    [ -z "$answer" ] || set_value RELAY_TAKARO__URL "$answer"
fi
if [ "$needs_token" ]; then
    ask TAKARO_REGISTRATION_TOKEN wrong_token \
        "Takaro's registration token: Settings, Game Servers, Add Game Server, Generic. Empty: later."
    token=$answer
fi
secret registration_token TAKARO_REGISTRATION_TOKEN "$token"
secret redis_password REDIS_PASSWORD "$(random)"
secret admin_token RELAY_MODAPI__ADMIN_TOKEN "$(random)"
secret grafana_password GRAFANA_PASSWORD "$(random)"
secret discord_url RELAY_ALERTS__DISCORD_URL ""
secret identity_token TAKARO_IDENTITY_TOKEN "${name:+$(random)}"
secret mod_key RELAY_INSTANCE__0__MOD_KEYS "${name:+$(random)}"

# Behind sudo, or in a container, what is made here belongs to the owner of this folder. What is in config stays as
# it is: the user of the relay's containers reads it.
[ "$(id -u)" != 0 ] || {
    chown -R --reference=. .env secrets
    chown --reference=. config backups
}

for one in $(sed -n 's/^\(RELAY_[A-Z0-9_]*\)=.*/\1/p' .env | sort -u); do
    case $secrets in *" $one "*) continue ;; esac
    grep -q "^#*$one=" .env.example ||
        echo "$one of .env is not used: put this setting into config/relay.toml (docs/settings.md)."
done

echo
[ -z "$kept" ] || echo "Kept: ${kept#, }."
[ -z "$made" ] || echo "Made: ${made#, }."
echo "Keep a copy of .env, secrets and config: without secrets/identity_token Takaro would see a new server."

if [ -z "$name" ] && [ ! -t 0 ] && ! has_servers; then
    echo
    echo "There is no terminal to ask at: write TAKARO_SERVER_NAME into .env and Takaro's registration token into"\
        "secrets/registration_token, and run ./setup.sh again. (Not needed for servers that the status page added.)"
    exit
fi

port() { [ "$(value "$1")" ] && value "$1" || echo "$2"; }
mods=$(value RELAY_MODAPI__PUBLIC_URL)
mods=${mods:-http://127.0.0.1:$(port MODS_PORT 8088)}
if [ "$name" ]; then
    cat <<END

Takaro will know your server by this name, for ever. If it is not right, change it in .env now:
    $name$(name_in_env)

Put this into profiles/TakaroIntegration/config.json of your DayZ server, which needs the mod
(docs/first-server.md, step 1). Its RegistrationToken is the relay's mod key, not Takaro's token:

{
    "TakaroApiUrl": "${mods%/}/k/$(cat secrets/mod_key)",
    "RegistrationToken": "$(cat secrets/mod_key)",
    "IdentityToken": "",
    "GameServerId": "",
    "EventBatchIntervalMs": 1000,
    "CommandPollIntervalMs": 2000,
    "MaxEventsPerBatch": 50,
    "LogVerbose": false,
    "DryRun": false
}
END
fi
if [ "$name" ] && [ ! -s secrets/registration_token ]; then
    cat <<END

Takaro's registration token is still to come: the relay keeps the server's events until then. Write it into
secrets/registration_token; if the relay runs already, then also:
    docker compose restart
END
fi
cat <<END

Start the relay:
    docker compose up --build --detach --wait
END
case $made in
    *secrets/*)
        echo "If it runs already, it takes the new secrets with:"
        echo "    docker compose restart"
        ;;
esac
cat <<END
Its page is http://127.0.0.1:$(port ADMIN_PORT 9088)/ and asks for this token:
    $(cat secrets/admin_token)
END
