"""The proxies of Debian 12, each with its recommended configuration and the least that its manual shows."""

import os
import signal
import subprocess

from tests.proxies.proxy import TLS_ONLY_NAME, Kind, Proxy

# By plain HTTP, and in most of them under the server's own name.
HTTPS = "who_logs_in_may_write"


def by_signal(number: signal.Signals):
    """Reload by a signal."""
    return lambda proxy: proxy.signal(number)


def run(proxy: Proxy, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def reload_caddy(proxy: Proxy) -> None:
    where = ["--config", f"{proxy.folder}/main", "--adapter", "caddyfile"]
    run(proxy, "caddy", "reload", "--force", "--address", f"127.0.0.1:{proxy.plain}", *where)


def reload_varnish(proxy: Proxy) -> None:
    for order in (["vcl.load", "again", f"{proxy.folder}/main"], ["vcl.use", "again"]):
        run(proxy, "varnishadm", "-n", f"{proxy.folder}/work", *order)


NGINX_PLACES = "".join(
    f"    {kind}_temp_path {{folder}}/{kind};\n"
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
NGINX_MAIN = (
    "daemon off;\npid {folder}/pid;\nerror_log stderr info;\nworker_processes 1;\n"
    "events { worker_connections 500; }\n"
    f"http {{\n    access_log off;\n{NGINX_PLACES}{{text}}\n}}\n"
)
APACHE_MODULES = (
    "mpm_event authz_core socache_shmcb ssl proxy proxy_http slotmem_shm proxy_balancer"
    " lbmethod_bybusyness lbmethod_byrequests headers env http2"
)
APACHE_MAIN = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog /dev/stderr
ServerName 127.0.0.1
User www-data
Group www-data
""" + "".join(
    f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
    for name in APACHE_MODULES.split()
)
CADDY_GLOBAL = "{\n\tadmin 127.0.0.1:{plain}\n\tauto_https off\n}\n{text}"
SQUID_MAIN = """{text}
pid_filename {folder}/pid
access_log none
cache_log stdio:/dev/stderr
coredump_dir {folder}
"""
LIGHTTPD_MAIN = '{text}\nserver.bind = "{host}"\nserver.upload-dirs = ("{folder}")\n'

HAPROXY = Kind(
    program="haproxy",
    package="haproxy",
    version=["haproxy", "-v"],
    file="haproxy.cfg",
    ours={
        "bind :80": "bind {host}:{plain}",
        "bind :443": "bind {host}:{port}",
        "maxconn 50000": "maxconn 500",
    },
    command=["haproxy", "-W", "-db", "-f", "{config}"],
    minimal="""
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend silo
    bind {host}:{port}
    default_backend servers
backend servers
    server silo1 127.0.0.1:8001
""",
    quick={"timeout client 60s": "timeout client 2s", "timeout server 60s": "timeout server 2s"},
    http2=True,
    reload=by_signal(signal.SIGUSR2),
    minimal_breaks=frozenset({"a_client_that_dies_is_released", HTTPS}),
)
NGINX = Kind(
    program="nginx",
    package="nginx-light",
    version=["nginx", "-v"],
    file="nginx.conf",
    ours={"listen 80": "listen {host}:{plain}", "listen 443": "listen {host}:{port}"},
    command=["nginx", "-c", "{config}", "-p", "{folder}"],
    main=NGINX_MAIN,
    minimal="server { listen {host}:{port}; location / { proxy_pass http://127.0.0.1:8001; } }",
    minimal_main=NGINX_MAIN,
    quick={"proxy_read_timeout 20s": "proxy_read_timeout 2s"},
    http2=True,
    reload=by_signal(signal.SIGHUP),
    minimal_breaks=frozenset({"a_body_that_is_too_large_is_refused_in_our_words", HTTPS}),
)
APACHE = Kind(
    program="apache2",
    package="apache2",
    version=["apache2", "-v"],
    file="apache.conf",
    ours={"*:443": "{host}:{port}"},
    command=["apache2", "-DFOREGROUND", "-f", "{config}"],
    main=APACHE_MAIN + "Listen {host}:{port}\n{text}",
    minimal='ProxyPass "/" "http://127.0.0.1:8001/"',
    minimal_main=APACHE_MAIN + "Listen {host}:{port}\n{text}\n",
    quick={"ProxyTimeout 20": "ProxyTimeout 2"},
    http2=True,
    notices=False,
    reload=by_signal(signal.SIGUSR1),
    minimal_breaks=frozenset({"a_slash_in_a_part_number_passes", HTTPS}),
)
CADDY = Kind(
    program="caddy",
    package="caddy",
    version=["caddy", "version"],
    file="Caddyfile",
    ours={"silo.example.com {": "https://silo.example.com:{port} {\n\tbind {host}"},
    command=["caddy", "run", "--config", "{config}", "--adapter", "caddyfile"],
    main=CADDY_GLOBAL,
    minimal=":{port} {\n\treverse_proxy 127.0.0.1:8001\n}\n",
    minimal_main=CADDY_GLOBAL,
    http2=True,
    reload=reload_caddy,
    minimal_breaks=frozenset({HTTPS}),
)
SQUID = Kind(
    program="squid",
    package="squid",
    version=["squid", "-v"],
    file="squid.conf",
    ours={"https_port 443": "https_port {host}:{port}"},
    command=["squid", "-N", "-f", "{config}"],
    main=SQUID_MAIN,
    minimal="""
http_port {host}:{port} accel defaultsite=silo.example.com no-vhost
cache_peer 127.0.0.1 parent 8001 0 no-query originserver name=silo
acl silo dstdomain silo.example.com
http_access allow silo
cache_peer_access silo allow silo
pinger_enable off
""",
    minimal_main=SQUID_MAIN,
    quick={"read_timeout 20 seconds": "read_timeout 2 seconds"},
    reload=by_signal(signal.SIGHUP),
    # Whatever needs a credential.
    minimal_breaks=frozenset(
        {
            "streams_pass_at_once",
            "a_client_that_dies_is_released",
            "a_slash_in_a_part_number_passes",
            "credentials_pass",
            "a_stream_goes_on_where_it_was",
            HTTPS,
        }
    ),
)
VARNISH = Kind(
    program="varnishd",
    package="varnish",
    version=["varnishd", "-V"],
    file="varnish.vcl",
    ours={},
    command=[
        "varnishd",
        "-F",
        "-j",
        "none",
        "-n",
        "{folder}/work",
        "-a",
        "{host}:{port}",
        "-f",
        "{config}",
    ],
    minimal='vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "8001"; }\n',
    scheme="http",
    reload=reload_varnish,
    minimal_breaks=frozenset({"a_client_that_dies_is_released", HTTPS}),
)
LIGHTTPD = Kind(
    program="lighttpd",
    package="lighttpd-mod-openssl",
    version=["lighttpd", "-v"],
    file="lighttpd.conf",
    ours={
        "server.port = 443": "server.port = {port}",
        "server.max-fds = 32768": "server.max-fds = 500",
        "/var/www/html": "{folder}",
    },
    command=["lighttpd", "-D", "-f", "{config}"],
    main=LIGHTTPD_MAIN,
    minimal="""
server.modules = ("mod_proxy")
server.document-root = "{folder}"
server.port = {port}
proxy.server = ("" => (("host" => "127.0.0.1", "port" => 8001)))
""",
    minimal_main=LIGHTTPD_MAIN,
    quick={'"read-timeout" => 20': '"read-timeout" => 2'},
    http2=True,
    notices=False,
    # Its reload serves nobody new until the last stream has ended.
    reload=None,
    minimal_breaks=frozenset(
        {
            "streams_pass_at_once",
            "a_client_that_dies_is_released",
            "a_stream_goes_on_where_it_was",
            HTTPS,
        }
    ),
)
H2O = Kind(
    program="h2o",
    package="h2o",
    version=["h2o", "--version"],
    file="h2o.yaml",
    ours={
        "port: 443": "host: {host}\n      port: {port}",
        "max-connections: 32768": "max-connections: 500\npid-file: {folder}/pid",
    },
    command=["h2o", "-c", "{config}"],
    minimal="""
listen: {port}
hosts:
  default:
    paths:
      "/":
        proxy.reverse.url: "http://127.0.0.1:8001/"
""",
    quick={"proxy.timeout.io: 20000": "proxy.timeout.io: 2000"},
    http2=True,
    notices=False,
    minimal_breaks=frozenset({HTTPS}),
)
HITCH = Kind(
    program="hitch",
    package="hitch",
    version=["hitch", "--version"],
    file="hitch.conf",
    ours={"[*]:443": "[{host}]:{port}"},
    command=["hitch", "--config={config}", *(["--user=_hitch"] if os.geteuid() == 0 else [])],
    minimal="",
    host_name=TLS_ONLY_NAME,
    reload=by_signal(signal.SIGHUP),
)
STUNNEL = Kind(
    program="stunnel4",
    package="stunnel4",
    version=["stunnel4", "-version"],
    file="stunnel.conf",
    ours={"accept = 443": "accept = {host}:{port}"},
    command=["stunnel4", "{config}"],
    main="pid =\n{text}",
    minimal="",
    host_name=TLS_ONLY_NAME,
    reload=by_signal(signal.SIGHUP),
)
KINDS = {
    kind.program: kind
    for kind in (HAPROXY, NGINX, APACHE, CADDY, SQUID, VARNISH, LIGHTTPD, H2O, HITCH, STUNNEL)
}
