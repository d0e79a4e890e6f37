#!/bin/sh
# Makes the random secrets of docker-compose.yml below deploy/secrets/, once. Needs openssl.
#
# The folder is closed to others; the files in it are readable, because each is mounted by itself into containers
# whose user is not yours.
set -eu
umask 022
folder=$(dirname "$0")/secrets
if [ -e "$folder" ]; then
  echo "$folder is there already. Remove it first if you mean it: services that were set up with it will refuse new passwords." >&2
  exit 1
fi
new=$folder.new
rm -rf "$new"
mkdir -m 0700 "$new"
put() { printf '%s' "$2" > "$new/$1"; }
random() { openssl rand -hex "$1"; }

postgres=$(random 24)
redis=$(random 24)
put postgres_password "$postgres"
put database_url "postgresql://sealfleet:$postgres@postgres:5432/sealfleet"
put redis_password "$redis"
put redis_url "redis://:$redis@redis:6379"
put s3_access_key_id "SF$(random 9)"
put s3_secret_access_key "$(random 20)"
chmod 0444 "$new"/*
mv "$new" "$folder"
echo "made $folder"
