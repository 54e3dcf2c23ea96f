#!/usr/bin/env bash
# Begins as the entrypoints of database images do: as root it hands its data over, and then itself.
set -Eeo pipefail
source /srv/functions.sh

if [ "$1" = serve ] && [ "$(id -u)" = 0 ]; then
	mkdir -p /var/lib/data
	find /var/lib/data \! -user prometheus -exec chown prometheus '{}' +
	exec gosu prometheus "$BASH_SOURCE" "$@"
fi
[ "$1" != serve ] || owner_of /var/lib/data
echo ready
