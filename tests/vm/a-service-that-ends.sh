# `up -d` from a service that then ends, and is stopped with all that stayed in its cgroup: the stack still answers.
. tests/vm/common
mkdir -p /tmp/service && cd /tmp/service
stack
systemd-run --quiet --wait --collect --working-directory="$PWD" "$(command -v windlass)" up -d
answers "after its service has ended"

windlass down
systemd-run --quiet --unit=caller --working-directory="$PWD" sh -c "$(command -v windlass) up -d; exec sleep 1000"
for _ in $(seq 100); do windlass ps 2>/dev/null | grep -q Up && break; sleep 0.1; done
systemctl stop caller.service
answers "after its service was stopped"
windlass ps | grep -q Up || fail "ps does not show it"
systemctl is-active --quiet 'windlass-*.scope' || fail "the project has no scope of its own"
windlass down
clean
