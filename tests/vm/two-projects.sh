# Two projects side by side: each has a scope of its own in one slice, and each can go first.
. tests/vm/common
mkdir -p /tmp/one /tmp/two && cd /tmp/one
stack
windlass up -d
cd /tmp/two
stack
sed -i 's/8080/8081/' compose.yaml
windlass up -d
for project in one two; do
  systemctl is-active --quiet "windlass-$project.scope" || fail "there is no scope of $project"
done
curl -fsS http://127.0.0.1:8080/ http://127.0.0.1:8081/ >/dev/null || fail "they do not answer"
(cd /tmp/one && windlass down)
curl -fsS http://127.0.0.1:8081/ >/dev/null || fail "the other one went too"
windlass down
clean
for _ in $(seq 100); do systemctl is-active --quiet windlass.slice || exit 0; sleep 0.1; done
fail "the slice stays"
