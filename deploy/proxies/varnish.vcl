# Varnish 7, behind hitch or stunnel, which have the certificate: /etc/varnish/default.vcl
vcl 4.1;
import directors;

probe ready {
    .request = "GET /ready HTTP/1.1" "Host: silo.example.com" "Connection: close";
    .interval = 2s;
    .timeout = 2s;
    .window = 2;
    .threshold = 1;
    .initial = 1;
}
backend silo1 {
    .host = "127.0.0.1";
    .port = "8001";
    .connect_timeout = 5s;
    .probe = ready;
}
backend silo2 {
    .host = "127.0.0.1";
    .port = "8002";
    .connect_timeout = 5s;
    .probe = ready;
}

sub vcl_init {
    new servers = directors.round_robin();
    servers.add_backend(silo1);
    servers.add_backend(silo2);
}

sub vcl_recv {
    set req.backend_hint = servers.backend();
    # Only hitch or stunnel on this machine can reach it.
    set req.http.X-Forwarded-Proto = "https";
    # A pipe ends as soon as one of its ends does. What is passed ends when the next line is written: 8 s or more later.
    if (req.url ~ "^/api/(events|items/.*/events)(\?|$)") {
        return (pipe);
    }
    return (pass);
}

sub vcl_pipe {
    set bereq.http.Connection = "close";
}

sub vcl_backend_fetch {
    # No request goes out on an old connection that a server which restarts is about to close.
    set bereq.http.Connection = "close";
}
