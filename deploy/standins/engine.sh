# shellcheck shell=bash
# What check-stack and check-deb have in common: an engine of their own, a stand-in of Debian, steps. Sourced by them.

dir=${FACEWAY_CHECK_DIR:-/var/tmp/faceway-check}
# Debian's clients first: a newer docker wants plugins that are not there.
export PATH=/usr/bin:/usr/sbin:$PATH DOCKER_HOST=unix://$dir/docker.sock
log=$dir/steps.log
engine=
forward=
ip_forward=
failures=0
keep=false

# begin TOOL…: what the check needs; everything that it starts ends with it. With --keep the engine's data stay.
begin() {
  need "$@"
  mkdir -p "$dir" && : >"$log"
  trap clean_up EXIT
  start_engine
  has debian:bookworm-slim || must "stand-in of Debian" debian
}

finish() {
  printf '\n%s\n' "$( ((failures == 0)) && echo "all fine" || echo "$failures FAILED")"
  ((failures == 0))
}

need() {
  ((EUID == 0)) || { echo "run this as root: it starts an engine" >&2; exit 2; }
  for tool; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install docker.io docker-compose debootstrap curl iproute2)" >&2; exit 2; }
  done
}

# step NAME COMMAND…: runs it; goes on when it fails, so that one run tells everything.
step() {
  local name=$1 begun=$SECONDS status
  shift
  # Not in an `if`: there `set -e` would not hold inside.
  set +e
  ( set -e; "$@" ) >"$dir/step.log" 2>&1
  status=$?
  set -e
  { printf '== %s\n' "$name"; cat "$dir/step.log"; } >>"$log"
  if ((status == 0)); then
    printf 'ok      %s (%ss)\n' "$name" $((SECONDS - begun))
  else
    failures=$((failures + 1))
    printf 'FAILED  %s\n' "$name"
    tail -n 15 "$dir/step.log" | sed 's/^/        /'
  fi
}

# must NAME COMMAND…: a step without which the others have no sense.
must() {
  local before=$failures
  step "$@"
  ((failures == before))
}

eventually() { within 90 "$@"; }

# within SECONDS COMMAND…: asks again until it is so, at most so long.
within() {
  local seconds=$1 until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || { echo "not within $seconds seconds: $*" >&2; return 1; }
    sleep 1
  done
}

# One that answers there already is used, and left as it is.
start_engine() {
  ! docker version >/dev/null 2>&1 || return 0
  local graph=()
  [[ -z ${FACEWAY_CHECK_STORAGE:-} ]] || graph=(--storage-driver "$FACEWAY_CHECK_STORAGE")
  # Where no engine has been yet, the machine's network is put back at the end to what it is now.
  if [[ ! -e /sys/class/net/docker0 ]]; then
    forward=$(iptables -S FORWARD | sed -n 's/^-P FORWARD //p')
    ip_forward=$(</proc/sys/net/ipv4/ip_forward)
  fi
  dockerd --data-root "$dir/data" --exec-root "$dir/exec" --host "$DOCKER_HOST" --pidfile "$dir/pid" "${graph[@]}" \
    >"$dir/engine.log" 2>&1 &
  engine=$!
  eventually docker version >/dev/null 2>&1 || { tail "$dir/engine.log" >&2; exit 1; }
}

has() { docker image inspect "$1" >/dev/null 2>&1; }

debian() {
  rm -rf "$dir/debian"
  debootstrap --variant=minbase bookworm "$dir/debian" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
  tar -C "$dir/debian" --exclude='./var/cache/apt/archives/*.deb' -c . | docker import - debian:bookworm-slim
  rm -rf "$dir/debian"
}

clean_up() {
  set +e
  take_down >>"$log" 2>&1
  if [[ -n $engine ]]; then
    kill "$engine"
    wait "$engine" 2>/dev/null
    [[ -z $forward ]] || forget_network
    # A build in the host's network leaves it mounted.
    umount "$dir"/exec/netns/* 2>/dev/null
  fi
  if $keep || [[ -z $engine ]]; then
    echo "the engine's data stay in $dir"
  else
    cp "$log" "${TMPDIR:-/tmp}/faceway-check.log"
    rm -rf "$dir" && echo "removed $dir; the log is ${TMPDIR:-/tmp}/faceway-check.log"
  fi
}

# An engine that ends leaves its bridge, its rules, and a machine that forwards nothing else.
forget_network() {
  ip link delete docker0
  iptables-save | grep -iv docker | sed "s/^:FORWARD DROP/:FORWARD $forward/" | iptables-restore
  echo "$ip_forward" >/proc/sys/net/ipv4/ip_forward
}
