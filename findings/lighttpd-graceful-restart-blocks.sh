#!/usr/bin/env bash
# lighttpd 1.4.69 (Debian 12): a graceful restart answers no new request for as long as one old response goes on.
#
# One would guess: SIGUSR1 is as nginx's SIGHUP and Apache's SIGUSR1. New requests are served by the new configuration
# at once, while what is open goes on beside it.
# What is so: one proxied response that does not end (an event stream) keeps the old process, and new requests hang:
# their connections are accepted by the kernel, and no byte comes. They are answered when the response has ended.
#
# Seen: before 200, during the restart no answer, after the stream has ended 200
#
# Needs root for apt-get, unless lighttpd and curl are installed. Exits with 1 if it behaves otherwise.
set -euo pipefail

if ! command -v lighttpd >/dev/null || ! command -v curl >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends lighttpd=1.4.69-1 curl >/dev/null
fi
lighttpd -v

PLACE=$(mktemp -d)
STARTED=()
end() {
  kill "${STARTED[@]}" 2>/dev/null || true
  rm -rf "$PLACE"
}
trap end EXIT

cat >"$PLACE/backend.py" <<'PY'
import http.server, pathlib, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        while self.path == "/stream":
            self.wfile.write(b": line\n\n")
            time.sleep(0.2)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
pathlib.Path(sys.argv[1]).write_text(str(server.server_address[1]))
server.serve_forever()
PY
python3 "$PLACE/backend.py" "$PLACE/backend.port" 2>/dev/null &
STARTED+=($!)
until [[ -s $PLACE/backend.port ]]; do sleep 0.1; done

asked() {
  curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "http://127.0.0.1:$1/" || true
}

# Prints what is answered before, during and after a graceful restart.
restart() {
  local port before during after
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat >"$PLACE/lighttpd.conf" <<CONF
server.modules = ("mod_proxy")
server.document-root = "$PLACE"
server.bind = "127.0.0.1"
server.port = $port
server.stream-response-body = 2
proxy.server = ("" => (("host" => "127.0.0.1", "port" => $(<"$PLACE/backend.port"))))
CONF
  lighttpd -D -f "$PLACE/lighttpd.conf" 2>/dev/null &
  local server=$!
  until [[ $(asked "$port") == 200 ]]; do sleep 0.1; done
  before=$(asked "$port")
  curl --silent --no-buffer "http://127.0.0.1:$port/stream" >"$PLACE/stream.out" &
  local stream=$!
  until [[ -s $PLACE/stream.out ]]; do sleep 0.1; done
  kill -USR1 "$server"
  sleep 1
  during=$(asked "$port")
  kill "$stream"
  wait "$stream" 2>/dev/null || true
  sleep 1
  after=$(asked "$port")
  kill "$server"
  wait "$server" 2>/dev/null || true
  echo "$before $during $after"
}

seen=$(restart)
echo "before, during, after (000 is no answer within 5 s): $seen"
[[ $seen == "200 000 200" ]]
