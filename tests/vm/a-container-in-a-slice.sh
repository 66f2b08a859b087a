# `cgroup_parent` names a slice: the container has a scope of its own there, which everybody finds again and which goes.
. tests/vm/common
mkdir -p /tmp/slice && cd /tmp/slice
stack
cat >compose.yaml <<'YAML'
services:
  web:
    image: box
    restart: always
    command: [sh, -c, "trap 'exit 3' TERM; httpd -f -p 80 -h /www & wait"]
    stop_signal: SIGKILL
    mem_limit: 64m
    cgroup_parent: shop-web.slice
    ports: ["127.0.0.1:8080:80"]
    healthcheck: {test: [CMD, cat, /www/index.html], interval: 1s}
  plain:
    image: box
    stop_signal: SIGKILL
  eater:
    image: box
    profiles: [eater]
    command: [sh, -c, "busybox head -c 200m /dev/zero | busybox tail"]
    mem_limit: 16m
    memswap_limit: 16m
    cgroup_parent: shop-web.slice
  stubborn:
    image: box
    profiles: [stubborn]
    command: [sh, -c, "trap '' TERM; sleep 1000"]
    stop_signal: SIGKILL
    cgroup_parent: shop-mail.slice
YAML

top=/sys/fs/cgroup
unit() { basename "$(find $top/shop.slice/shop-web.slice -name 'windlass-slice-*.scope' 2>/dev/null)"; }
group() { echo "$top/shop.slice/shop-web.slice/$(unit)/container"; }
pid() { head -1 "$(group)/cgroup.procs" 2>/dev/null || true; }
await() { for _ in $(seq 300); do eval "$2" && return; sleep 0.1; done; fail "$1"; }
# All that is asked of a container that runs.
whole() {
  await "$1: no scope" '[ -n "$(find $top/shop.slice -name "windlass-slice-*.scope" 2>/dev/null)" ] && [ -n "$(pid)" ]'
  systemctl is-active --quiet shop-web.slice "$(unit)" || fail "$1: its units are not active"
  [ "$(cat "$(group)/memory.max")" = 67108864 ] || fail "$1: it has no limit"
  grep -q "^0::/shop.slice/shop-web.slice/$(unit)/container" "/proc/$(pid)/cgroup" || fail "$1: it is elsewhere"
  for shim in $(pgrep -f __shim); do
    grep -q "windlass-slice.scope" "/proc/$shim/cgroup" || fail "$1: a shim is not with its project"
  done
  grep -q __hold "/proc/$(cat "$(dirname "$(group)")/holder/cgroup.procs")/cmdline" || fail "$1: the scope has no holder"
  answers "$1: it does not answer"
}

# Nothing is left; of its scopes, as soon as systemd has heard that they are empty.
gone() {
  await "scopes are left" '[ -z "$(find $top -name "windlass-slice*.scope")" ]'
  clean
}
# Writes what happens from now on to a file.
listen() {
  windlass events --json >"$1" &
  events=$!
  await "nobody tells events" "windlass pause plain; windlass unpause plain; [ -s $1 ]" 2>/dev/null
}

windlass up -d --wait
whole "after up"
grep -q 'windlass-slice.scope/[0-9a-f]' /proc/[0-9]*/cgroup 2>/dev/null || fail "plain is not with its project"
windlass exec -T web cat /proc/self/cgroup >/dev/null
windlass stats --no-stream >stats
grep -q '64' stats || fail "stats do not know the limit"
windlass pause web
[ "$(cat "$(group)/cgroup.freeze")" = 1 ] || fail "it is not frozen"
windlass unpause web
systemctl daemon-reload
whole "after daemon-reload"

# A supervisor that is killed: the next one finds it, and has nothing to do.
before=$(pid)
kill -9 "$(pgrep -f __supervisor)"
await "no new supervisor" 'pgrep -f __supervisor >/dev/null'
windlass plan --detailed-exitcode >/dev/null || fail "the new supervisor has something to do"
[ "$(pid)" = "$before" ] || fail "the container is another"
whole "after its supervisor was killed"

# Its process ends, and the scope stays for the next one.
started() { systemctl show -p ActiveEnterTimestampMonotonic --value "$(unit)"; }
scope=$(started)
kill -9 "$(pid)"
await "it does not come back" '[ -n "$(pid)" ] && [ "$(pid)" != "$before" ]'
whole "after it was killed"
[ "$(started)" = "$scope" ] || fail "the scope is another"

# A new shim: a new scope of the same name.
windlass restart -t 0 web
whole "after restart"
[ "$(started)" != "$scope" ] || fail "the scope is the old one"

# Somebody stops the slice; what restarts always comes back in a new one.
listen stopped
before=$(pid) scope=$(started)
systemctl stop shop-web.slice
await "it does not come back after its slice was stopped" '[ -n "$(pid)" ] && [ "$(pid)" != "$before" ]'
whole "after its slice was stopped"
grep -q '"exitCode":"3"' stopped || fail "it is not told how it ended"
kill $events
[ "$(started)" != "$scope" ] || fail "the scope is the old one"

# Another one does not end for it: as long as that lives nothing can be started there, and then what restarts always comes back.
windlass --profile stubborn up -d stubborn
before=$(pid)
systemctl stop --no-block shop.slice
await "systemd does not refuse it" 'grep -qi destructive /var/lib/windlass/projects/slice/supervisor.log'
xargs kill -9 <"$(ls $top/shop.slice/shop-mail.slice/windlass-slice-*.scope/container/cgroup.procs)"
await "it does not come back when the slice has ended" '[ -n "$(pid)" ] && [ "$(pid)" != "$before" ]'
whole "after its slice took long to stop"
windlass --profile stubborn rm -sf stubborn

# All of windlass is killed, with or without its containers: what is left is ended, and made anew.
before=$(pid)
pgrep -f '__shim|__supervisor' | xargs kill -9
windlass up -d --wait
[ ! -e "/proc/$before" ] || fail "the lost container goes on"
whole "after everything was killed"

# An end for want of memory is told: the group is there until it was read.
listen ended
windlass up -d eater
await "its end for want of memory is not told" 'grep -q "\"oom\"" ended'
kill $events

windlass --profile eater down
gone
await "a slice stays" '[ ! -e $top/shop.slice ]'
for slice in shop.slice shop-web.slice; do ! systemctl is-active --quiet $slice || fail "$slice is still active"; done
[ -z "$(systemctl list-units --all --plain --no-legend 'windlass-*' || true)" ] || fail "units are left"

# A slice that somebody has described is his own: its limits hold, and it stays.
mkdir -p /run/systemd/system
printf '[Slice]\nMemoryMax=200M\n' >/run/systemd/system/theirs.slice
systemctl daemon-reload
sed -i 's/shop-web.slice/theirs.slice/' compose.yaml
windlass up -d --wait web
[ "$(cat $top/theirs.slice/memory.max)" = 209715200 ] || fail "the slice has lost its limit"
find $top/theirs.slice -name 'windlass-slice-*.scope' | grep -q . || fail "it is not in the slice"
windlass down
gone
systemctl is-active --quiet theirs.slice || fail "somebody's slice was taken away"
systemctl stop theirs.slice
rm /run/systemd/system/theirs.slice
systemctl daemon-reload

# An OCI runtime finds the same group.
sed -i 's/theirs.slice/shop-web.slice\n    runtime: crun/' compose.yaml
windlass up -d --wait
whole "with a runtime"
windlass pause web
windlass unpause web
kill -9 "$(pid)"
await "it does not come back with a runtime" '[ -n "$(pid)" ]'
whole "with a runtime, after it was killed"
windlass down
gone
await "a slice stays with a runtime" '[ ! -e $top/shop.slice ]'

# What is no slice is told at its place, before anything is made.
sed -i 's/shop-web.slice/shop\/web/' compose.yaml
windlass plan 2>plan.err && fail "it takes a path for a slice"
grep -q 'compose.yaml:8:' plan.err || { cat plan.err; fail "it does not say where"; }
grep -q 'is no name of a slice' plan.err || fail "it does not say what"
