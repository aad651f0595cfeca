#!/bin/sh
# Copies Redis while it runs, and puts a copy back. The service `backup` of docker-compose.yml runs it.
#
#   daily            a copy every BACKUP_EVERY_H hours, of which the newest BACKUP_KEEP stay
#   now              one copy
#   restore FILE     Redis gets what is in this copy. Redis has to be stopped
set -eu
umask 077
REDISCLI_AUTH=$(cat /run/secrets/redis_password)
export REDISCLI_AUTH
unfinished=/backups/.unfinished

say() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*" >&2; }

now() {
    exec 9</backups
    flock 9 # another container may be making a copy just now
    rm -rf "$unfinished"
    mkdir -p "$unfinished/appendonlydir"
    # Redis can start from it: an append-only file begins with a snapshot.
    redis-cli -h redis --rdb "$unfinished/appendonlydir/appendonly.aof.1.base.rdb" >/dev/null
    echo 'file appendonly.aof.1.base.rdb seq 1 type b' >"$unfinished/appendonlydir/appendonly.aof.manifest"
    tar -czf "$unfinished/copy" -C "$unfinished" appendonlydir
    chown --reference=/backups "$unfinished/copy"
    sync "$unfinished/copy"
    file=redis-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
    mv "$unfinished/copy" "/backups/$file"
    rm -rf "$unfinished"
    say "made $file"
}

daily() {
    while :; do
        sh "$0" now || say "there is no new copy; the next try is in $BACKUP_EVERY_H h"
        find /backups -maxdepth 1 -name 'redis-*.tar.gz' | sort -r | tail -n "+$((BACKUP_KEEP + 1))" | xargs -r rm
        sleep "$((BACKUP_EVERY_H * 3600))"
    done
}

restore() {
    # While its container runs, the engine knows its name at once. Otherwise it may ask name servers that never answer.
    if timeout 10 getent hosts redis >/dev/null; then
        say "Redis runs: docker compose stop"
        exit 1
    fi
    tar -tzf "/backups/$1" >/dev/null # all of it can be read
    before=before-restore-$(date -u +%Y%m%dT%H%M%SZ) # of its own: the first copy may be the wrong one
    mkdir "/data/$before"
    [ ! -e /data/appendonlydir ] || mv /data/appendonlydir "/data/$before/"
    tar -xzf "/backups/$1" -C /data
    chown -R redis: /data
    say "restored $1; what was there before is in the volume, in $before"
}

"$@"
