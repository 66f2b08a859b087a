# A container that is restarted while its health is probed holds its ports again at once. It takes a slow machine to see it: a
# probe that outlives the container by some milliseconds kept them, and one restart in four failed.
. tests/vm/common
mkdir -p /tmp/probed && cd /tmp/probed
stack
echo '    healthcheck: {test: [CMD, cat, /www/index.html], interval: 100ms}' >>compose.yaml
windlass up -d --wait
for _ in $(seq 25); do
  windlass restart -t 0 2>err || { cat err; fail "a restart beside a probe"; }
  sleep "0.$((RANDOM % 5))"
done
answers "after the restarts"
windlass down
clean
