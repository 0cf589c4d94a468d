#!/bin/sh
# A Chromium for tests/browser: from Debian's packages where that is possible, else a word on how to get one. Never fails
# the build: without one those tests are skipped, and say so.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
skipped="==> the browser tests will be SKIPPED: there is no Chromium"
if [ "$(id -u)" != 0 ] || ! grep -qs '^ID=debian$' /etc/os-release; then
    echo "$skipped. Install one (on Debian, as root: apt-get install chromium) and run this again"
    exit 0
fi
echo "==> installing Chromium for the browser tests"
log=$(mktemp)
if apt-get update >"$log" 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium >>"$log" 2>&1; then
    rm "$log"
else
    tail -3 "$log"
    echo "$skipped, and apt-get could not install it (see $log)"
fi
