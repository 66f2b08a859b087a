# `up -d` from a login: a scope and a terminal of its own. Both end, with all that stayed in them; the stack still answers.
. tests/vm/common
mkdir -p /tmp/login && cd /tmp/login
stack
# `script` gives the terminal; its end hangs up whoever is on it, and the scope's end kills whoever stayed in it.
systemd-run --quiet --scope --unit=login-1 --slice=user.slice script -qec 'windlass up -d; sleep 1000' /dev/null </dev/null >/dev/null 2>&1 &
for _ in $(seq 100); do windlass ps 2>/dev/null | grep -q Up && break; sleep 0.1; done
systemctl kill --signal=SIGHUP login-1.scope
# It may be over by now.
systemctl stop login-1.scope 2>/dev/null || true
answers "after the login has ended"
# What ends is started again, too: nothing of the login is needed for that.
kill -9 "$(pgrep -x httpd)"
answers "after it was killed"
windlass down
clean
