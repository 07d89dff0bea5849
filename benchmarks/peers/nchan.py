"""nchan, a module of nginx: event streams that anybody may read, fed by a POST."""

import uuid
from pathlib import Path

from benchmarks.load import Wanted
from benchmarks.peers.programs import Program
from benchmarks.subject import Feed
from benchmarks.wire import HEAD_END, request

MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"
CONFIGURATION = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 30000;
pid {folder}/pid;
error_log {folder}/error;
events {{ worker_connections 25000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  server {{
    listen 127.0.0.1:{port};
    location ~ /publish/(.*) {{ nchan_publisher; nchan_channel_id $1; }}
    location ~ /watch/(.*) {{ nchan_subscriber eventsource; nchan_channel_id $1; }}
  }}
}}
"""


class Nchan(Program):
    """An nginx of its own with nchan, one worker."""

    name = "nchan"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "nginx", MODULE)

    def command(self) -> list[str]:
        file = self.folder / "nginx.conf"
        file.write_text(CONFIGURATION.format(module=MODULE, folder=self.folder, port=self.port))
        return ["nginx", "-p", str(self.folder), "-c", str(file)]

    def open_many(self, count: int) -> list[Wanted]:
        return [self._stream(f"one-{number}") for number in range(count)]

    def feed(self, watchers: int, events: int) -> Feed:
        # A channel that nothing was told yet: a new reader would get that too.
        channel = uuid.uuid4().hex
        publish = request("POST", f"/publish/{channel}", body="told")
        return Feed([self._stream(channel)] * watchers, self.port, [publish] * events)

    def _stream(self, channel: str) -> Wanted:
        data = request("GET", f"/watch/{channel}", more="Accept: text/event-stream\r\n")
        return Wanted(self.port, data, HEAD_END, b'data: "told"\n')
