#!/bin/ash
# Makes what a server needs and keeps: its secrets, and the file of its mod. What is there stays.
set -eu
umask 077
cd "${SERVER_FOLDER:-/mnt/server}"
mkdir -p secrets
for secret in identity_token mod_key; do
    [ -s "secrets/$secret" ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$secret"
done
key=$(cat secrets/mod_key)
cat >config.json <<END
{
    "TakaroApiUrl": "${RELAY_MODAPI__PUBLIC_URL:-http://$SERVER_IP:$SERVER_PORT}/k/$key",
    "RegistrationToken": "$key",
    "IdentityToken": "",
    "GameServerId": "",
    "EventBatchIntervalMs": 1000,
    "CommandPollIntervalMs": 2000,
    "MaxEventsPerBatch": 50,
    "LogVerbose": false,
    "DryRun": false
}
END
echo "config.json is for the mod: put it into profiles/TakaroIntegration of the DayZ server."
