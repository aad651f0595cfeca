#!/bin/sh
# Runs the startup command of a Pterodactyl server, in which {{NAME}} is the variable NAME. It takes the place of
# this shell, so that the signal of a stop reaches it.
eval "exec $(printf %s "$STARTUP" | sed -e 's/{{/${/g' -e 's/}}/}/g')"
