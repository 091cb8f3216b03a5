# shellcheck shell=bash
# What the scripts share: saying things, and having what they need. To be sourced, from the top of the repository, under
# `set -euo pipefail`. $program names the script in its messages.

say() { printf '%s: %s\n' "${program:-cairnfs}" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Node as package.json's `engines` wants it, and npm.
require_node() {
  have node || die 'Node 20.20 or newer is needed: https://nodejs.org'
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 20) ? 0 : 1)' ||
    die "Node 20.20 or newer is needed; this is $(node --version)"
  have npm || die 'npm is needed beside Node'
}

# Installs Debian packages whose command or file is missing: require_packages COMMAND:PACKAGE /FILE:PACKAGE ...
# Without root says what to type.
require_packages() {
  local pair need package
  local missing=()
  for pair in "$@"; do
    need=${pair%%:*} package=${pair#*:}
    if [[ $need == /* ]]; then
      [[ -e $need ]] || missing+=("$package")
    elif ! have "$need"; then
      missing+=("$package")
    fi
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)) || ! have apt-get; then
    die "these are missing; type: sudo apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local log
  log=$(mktemp)
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get install ${missing[*]} failed"
  fi
  rm -f "$log"
}

# The same, of packages with services: Debian does not start them with it.
require_packages_with_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if ((EUID != 0)) || [[ -e $policy ]]; then
    policy=
  else
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  (require_packages "$@") || status=$?
  [[ -z $policy ]] || rm -f "$policy"
  return "$status"
}

# The programs of its server, and the user whose they are. Debian makes a cluster with them, and does not start it.
require_postgresql() {
  have pgbench || require_packages_with_services pgbench:postgresql
}

# Samba's server, its clients, python3's bindings and its modules: who needs an smbd runs one.
require_samba() {
  require_packages_with_services smbd:samba smbclient:smbclient /usr/lib/python3/dist-packages/samba:python3-samba \
    ip:iproute2 unshare:util-linux nsenter:util-linux \
    "/usr/lib/$(uname -m)-linux-gnu/samba/vfs/glusterfs_fuse.so:samba-vfs-modules"
}

# Whether node_modules is what package-lock.json says. Packages for other machines are not there, and need not be; what
# package.json itself has as optional is, but where npm was told to leave it.
node_modules_are_current() {
  [[ -f node_modules/.package-lock.json ]] || return 1
  node --input-type=module <<'JS'
import { existsSync, readFileSync } from 'node:fs'
const read = (path) => JSON.parse(readFileSync(path, 'utf8')).packages
const wanted = read('package-lock.json')
const there = read('node_modules/.package-lock.json')
const { dependencies = {}, devDependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync('package.json', 'utf8'))
const same = (a, b) => JSON.stringify(Object.entries(a ?? {}).sort()) === JSON.stringify(Object.entries(b ?? {}).sort())
const stale = Object.entries(wanted).some(([path, { version, optional }]) => {
  if (path === '') return !same(wanted[''].dependencies, dependencies) || !same(wanted[''].devDependencies, devDependencies)
  const isOurs = Object.hasOwn(optionalDependencies, path.replace(/^node_modules\//, ''))
  return there[path] === undefined ? !optional || isOurs : there[path].version !== version || !existsSync(path)
})
process.exit(stale ? 1 : 0)
JS
}

require_node_modules() {
  node_modules_are_current && return
  say 'npm ci'
  npm ci --ignore-scripts --no-audit --no-fund </dev/null >&2
}
