#!/bin/sh
# Installs Bun and the dependencies if they are missing, then runs Bun with the given arguments:
#
#   sh scripts/bootstrap.sh scripts/start.ts --fresh
#
# Needs npm, or any version of Bun; needs a network for the first run only. Writes only to .tools and node_modules.
# Concurrent runs wait for each other.
#
# The Bun that runs: the pinned version in .tools; otherwise the one on PATH if it has the pinned version; otherwise
# the pinned version is installed from the npm registry, by npm or by the Bun on PATH. If that fails, a Bun on PATH
# that is at least BUN_MINIMUM is used with a warning.
set -eu

# The pinned version. scripts/bootstrap/bootstrap.test.ts checks that Dockerfile and @types/bun agree.
BUN_VERSION=1.4.5
BUN_MINIMUM=1.4

LOCK_ATTEMPTS=3000 # of 0.2 s each: ten minutes

say() { printf 'bootstrap: %s\n' "$*" >&2; }
said=
fail() {
  said_all
  say "$*"
  exit 1
}

case $0 in
*/*) script_folder=${0%/*} ;;
*) script_folder=. ;;
esac
CDPATH='' cd -- "$script_folder/.."
root=$(pwd -P)
tools=$root/.tools

npm=$(command -v npm || true)
bun_on_path=$(command -v bun || true)
# PATH may contain nothing but Bun; the standard tools are in the usual folders.
command -v mkdir >/dev/null 2>&1 || PATH=$PATH:/usr/bin:/bin

mkdir -p "$tools/tmp" 2>/dev/null || fail "cannot write to $tools"
export npm_config_cache="$tools/npm"
export npm_config_update_notifier=false
export BUN_INSTALL_CACHE_DIR="$tools/bun-cache"
export BUN_RUNTIME_TRANSPILER_CACHE_PATH="$tools/transpiled"
export XDG_CACHE_HOME="$tools/cache"
export DO_NOT_TRACK=1
# Browsers create a Unix socket in TMPDIR, and its path is limited to about 100 characters.
if [ "${#tools}" -le 55 ]; then
  export TMPDIR="$tools/tmp"
fi

pinned=$tools/bun-$BUN_VERSION/bun
log=$tools/bootstrap.log
lock=$tools/lock
installed=node_modules/.installed.lock

# Is version $1 at least $2, by major and minor?
at_least() {
  [ -n "$1" ] || return 1
  major=${1%%.*} rest=${1#*.}
  [ "$major" -gt "${2%%.*}" ] || { [ "$major" -eq "${2%%.*}" ] && [ "${rest%%.*}" -ge "${2#*.}" ]; }
}

version_of() { "$1" --version 2>/dev/null || true; }

# Sets $bun. Fails when the pinned version is not installed yet.
find_bun() {
  if [ -x "$pinned" ]; then
    bun=$pinned
  elif [ -n "$bun_on_path" ] && [ "$(version_of "$bun_on_path")" = "$BUN_VERSION" ]; then
    bun=$bun_on_path
  else
    return 1
  fi
}

dependencies_installed() { cmp -s bun.lock "$installed"; }

# The lock is a symbolic link whose target is the process id of its owner: both are created in one step.
take_lock() {
  attempt=0
  until ln -s "$$" "$lock" 2>/dev/null; do
    owner=$(readlink "$lock" 2>/dev/null || true)
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
      break_lock "$owner"
      continue
    fi
    [ "$attempt" -gt 0 ] || say "waiting for another installation (process ${owner:-unknown})"
    attempt=$((attempt + 1))
    [ "$attempt" -lt "$LOCK_ATTEMPTS" ] || fail "another installation holds $lock; remove the file if none is running"
    sleep 0.2 2>/dev/null || sleep 1
  done
  trap 'rm -f "$lock"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# Removes the lock of an owner that has ended. One process at a time may do so, and it checks the owner again: another
# process may have removed the lock and taken it since.
break_lock() {
  if mkdir "$lock.breaking" 2>/dev/null; then
    [ "$(readlink "$lock" 2>/dev/null || true)" != "$1" ] || rm -f "$lock"
    rmdir "$lock.breaking"
  else
    attempt=$((attempt + 1))
    [ "$attempt" -lt "$LOCK_ATTEMPTS" ] || fail "remove $lock and $lock.breaking, which an interrupted installation left"
    sleep 0.2 2>/dev/null || sleep 1
  fi
}

release_lock() {
  rm -f "$lock"
  trap - EXIT INT TERM HUP
}

# Says what is done and, each ten seconds until said_all, for how long. Ends with this process, however that ends.
say_while() {
  say "$1"
  (
    seconds=0
    while sleep 10 </dev/null >/dev/null 2>&1 && kill -0 "$$" 2>/dev/null; do
      seconds=$((seconds + 10))
      say "still $1, for $seconds s"
    done
  ) </dev/null >/dev/null &
  said=$!
}

# Ends what say_while began.
said_all() {
  [ -z "$said" ] || kill "$said" 2>/dev/null || true
  said=
}

# Installs the pinned Bun with npm, or with the Bun on PATH. Install scripts are not run (npm 11 blocks them by
# default): the binary is in the package of this platform, and npm may install the packages of several.
install_bun() {
  staging=$tools/staging.$$
  rm -rf "$staging"
  mkdir -p "$staging"
  printf '{ "private": true }\n' >"$staging/package.json"
  if [ -n "$npm" ]; then
    (cd "$staging" && "$npm" install --prefix . --ignore-scripts --no-audit --no-fund --no-progress \
      --loglevel=error --fetch-retries=2 --fetch-retry-mintimeout=1000 "bun@$BUN_VERSION") >"$log" 2>&1 || return 1
  else
    (cd "$staging" && "$bun_on_path" add --ignore-scripts --no-progress "bun@$BUN_VERSION") >"$log" 2>&1 || return 1
  fi
  for candidate in "$staging"/node_modules/@oven/bun-*/bin/bun; do
    if [ "$(version_of "$candidate")" = "$BUN_VERSION" ]; then
      mkdir -p "$staging/done"
      mv "$candidate" "$staging/done/bun"
      ln -s bun "$staging/done/bunx"
      rm -rf "${pinned%/*}"
      mv "$staging/done" "${pinned%/*}"
      rm -rf "$staging"
      return 0
    fi
  done
  printf 'no package of bun@%s has a binary that runs on this machine\n' "$BUN_VERSION" >>"$log"
  return 1
}

# The line of the log with the reason of the failure.
reason() {
  line=$(grep -iE 'error' "$log" 2>/dev/null | grep -vE 'complete log' | head -n 1 | cut -c 1-200 || true)
  [ -n "$line" ] || line=$(tail -n 1 "$log" 2>/dev/null || true)
  printf '%s' "${line:-no output}"
}

set_up_bun() {
  [ -n "$npm" ] || [ -n "$bun_on_path" ] ||
    fail "neither npm nor Bun is on PATH; install Bun $BUN_VERSION (https://bun.sh) or Node.js (https://nodejs.org)"
  say_while "installing Bun $BUN_VERSION into .tools"
  if install_bun; then
    said_all
    bun=$pinned
    return
  fi
  said_all
  rm -rf "$tools/staging.$$"
  version=
  [ -z "$bun_on_path" ] || version=$(version_of "$bun_on_path")
  at_least "$version" "$BUN_MINIMUM" ||
    fail "cannot install Bun $BUN_VERSION (is there a network?): $(reason); more in .tools/bootstrap.log"
  say "cannot install Bun $BUN_VERSION; using version $version from PATH, which is not tested"
  bun=$bun_on_path
}

set_up_dependencies() {
  say_while "installing the dependencies"
  "$bun" install --frozen-lockfile --no-progress >"$log" 2>&1 ||
    fail "cannot install the dependencies (is there a network?): $(reason); more in .tools/bootstrap.log"
  said_all
  cp bun.lock "$installed.$$"
  mv "$installed.$$" "$installed"
}

if ! find_bun || ! dependencies_installed; then
  take_lock
  find_bun || set_up_bun
  dependencies_installed || set_up_dependencies
  release_lock
fi

# What this Bun starts by name is this Bun.
export PATH="${bun%/*}:$PATH"
exec "$bun" "$@"
