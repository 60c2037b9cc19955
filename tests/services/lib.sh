# Shared by with-services, kafka and postgres: messages, free ports, processes known by pid. Sourced, not run.

cache=${EVGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/evgate}

say() { printf '%s: %s\n' "${name:-services}" "$*" >&2; }
die() { say "$2"; exit "$1"; }

# A port nobody answers on, below the range that outgoing connections are given: a broker that is killed and restarted in a test
# must find its port free again.
free_port() {
  local port
  for _ in $(seq 200); do
    port=$((15000 + (RANDOM * 32768 + RANDOM) % 15000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  return 1
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# alive PIDFILE DIR: the process of the pid file runs and is ours (a pid may have been given to another process since).
alive() {
  local pid
  [ -s "$1" ] && pid=$(<"$1") && kill -0 "$pid" 2>/dev/null && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$2"
}

# end PIDFILE DIR SIGNAL: by pid, wait up to 15 s, then SIGKILL.
end() {
  local pid
  alive "$1" "$2" || { rm -f "$1"; return 0; }
  pid=$(<"$1")
  kill "-$3" "$pid" 2>/dev/null || true
  for _ in $(seq 150); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$1"; return 0; }
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  sleep 0.2
  rm -f "$1"
}
