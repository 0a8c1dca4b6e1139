#!/bin/sh
# Installs the Debian packages of tools/apt.txt that are missing: all sections, or those named. No prompt; as root or through sudo.
# Quick when nothing is missing. Services that a package brings (nginx, for the benchmark) are not started.
set -eu
cd "$(dirname "$0")/.."
wanted=$(awk -v pick=" $* " '/^\[/{s=substr($0,2,length($0)-2); next} /^[a-z]/{if (pick ~ /^ *$/ || index(pick, " " s " ")) print}' tools/apt.txt)
missing=$(for p in $wanted; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || echo "$p"
done)
# Packages of npm that tests run, by the lock file; their install scripts do not run (tests/node/.npmrc).
node_packages() {
    case " $wanted_sections " in *" check "* | "  ") ;; *) return 0 ;; esac
    there=tests/node/node_modules/.package-lock.json
    [ ! -e $there ] || [ tests/node/package-lock.json -nt $there ] || return 0
    command -v npm >/dev/null || { echo "deps: npm is missing (apt-get install npm), so tests in Node are left out"; return 0; }
    echo "deps: installing the packages of tests/node"
    (cd tests/node && npm ci --no-audit --no-fund --silent) || { echo "deps: npm ci failed in tests/node" >&2; exit 4; }
}
wanted_sections=$*
[ -n "$missing" ] || { node_packages; exit 0; }
sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "deps: run as root, or install sudo; missing:" $missing >&2; exit 2; }
    sudo="sudo -n"
    $sudo true 2>/dev/null || { echo "deps: sudo asks for a password here; run: sudo make deps" >&2; exit 2; }
fi
echo "deps: installing" $missing
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '$sudo rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod 755 $policy
fi
log=$(mktemp)
apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0"
if ! { $apt update && $apt install --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "deps: apt-get failed; the whole log is $log" >&2
    exit 4
fi
rm -f "$log"
node_packages
