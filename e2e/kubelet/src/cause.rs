//! The causes that the doctor distinguishes, and the part of the request that it changes for each. Main types: [`Cause`], [`Axis`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $name:ident, $code:literal => $remedy:literal;)+) => {
        /// Why a probe fails.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Cause {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)+
        }

        impl Cause {
            /// All causes, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code, such as `host-allow-list`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The remedy. `field` names one or several fields of probes.
            #[must_use]
            pub fn remedy(self, field: &str) -> String {
                let remedy = match self { $(Self::$name => $remedy,)+ };
                remedy.replace("{field}", field)
            }
        }
    };
}

// Each cause with its code and its remedy.
causes! {
    /// The app refuses the pod's address as `Host`.
    HostAllowList, "host-allow-list" =>
        "exempt the health path from the app's Host check, or set a Host that it accepts in httpHeaders of the {field}";
    /// The app refuses the syntax of the probe's `Host` and accepts unknown well-formed names.
    HostSyntax, "host-syntax" => "set a well-formed Host in httpHeaders of the {field}";
    /// The server requires a server name (SNI), which a kubelet does not send for an address.
    SniRequired, "sni-required" =>
        "serve the health path to TLS clients without a server name (SNI), or on a plain port: a kubelet sends no server name";
    /// The probe sends a plain request to a TLS port.
    PlainToTls, "plain-to-tls" => "set scheme: HTTPS in the {field}; a kubelet does not verify the certificate";
    /// The probe speaks TLS to a plain port.
    TlsToPlain, "tls-to-plain" => "set scheme: HTTP in the {field}";
    /// The probe sends HTTP/1.1 to a port that speaks only HTTP/2, as gRPC servers do.
    Http1ToHttp2Only, "http1-to-http2-only" =>
        "make the {field} a grpc probe if the app has gRPC's health service, or serve the health path over HTTP/1.1";
    /// The server expects a PROXY header before the request.
    ProxyProtocolExpected, "proxy-protocol-expected" => "open a port without the PROXY protocol and point the {field} at it";
    /// The headers exceed the server's limit.
    HeaderTooLarge, "header-too-large" => "shorten httpHeaders of the {field}, or raise the app's limit";
    /// The app refuses one of the probe's headers.
    HeaderRefused, "header-refused" => "make the app accept that header, or override or remove it with httpHeaders of the {field}";
    /// The server refuses bytes of the path or query.
    MalformedPath, "malformed-path" => "escape or avoid these bytes in the path of the {field}";
    /// The app requires a header, a query or credentials.
    MissingHeader, "missing-header" => "exempt the health path from that requirement, or meet it in httpHeaders or the path of the {field}";
    /// The path does not serve GET.
    MethodOrPath, "method-or-path" => "point the {field} at a path that the app serves to GET";
    /// Another port gives the right answer.
    WrongPort, "wrong-port" => "point the {field} at the port on which the app listens";
    /// The app listens on a loopback address only.
    BoundToLoopback, "bound-to-loopback" =>
        "make the app listen on 0.0.0.0 or [::] instead of a loopback address: a kubelet connects from outside the pod";
    /// The app refuses the client's address.
    SourceBlocked, "source-blocked" => "allow the node's address, from which a kubelet connects, on the health path";
    /// The redirects form a loop, or lead to another host and hide that the app is broken.
    RedirectElsewhere, "redirect-elsewhere" =>
        "answer the health path without a redirect, or add the header that prevents it to httpHeaders of the {field}";
    /// The right answer comes after the timeout.
    TooSlow, "too-slow" => "make the health path answer faster, or raise timeoutSeconds of the {field}";
    /// The app takes longer to start than the probe allows.
    NotStarted, "not-started" => "add a startupProbe that allows for the app's start-up time";
    /// The app answers 503 to every client, and a component that it is configured with has no ready replica.
    DependencyDown, "dependency-down" => "restore the app's dependency; keep dependencies out of liveness probes";
    /// The response ends before the length that it announces.
    TruncatedResponse, "truncated-response" => "make the app send the whole body that it announces";
    /// The app redirects plain requests to HTTPS, where the probe fails.
    RedirectToHttps, "redirect-to-https" =>
        "answer the health path without a redirect, or point the {field} at the TLS port with scheme: HTTPS";
    /// The server requires a client certificate, and a kubelet has none.
    ClientCertificateRequired, "client-certificate-required" =>
        "serve the health path to clients without a certificate, on a separate port if need be, and point the {field} at it: a \
         kubelet presents no certificate";
    /// The port speaks a protocol other than HTTP.
    NotHttp, "not-http" =>
        "point the {field} at the app's HTTP port, or use a tcpSocket probe, or an exec probe with the protocol's own client";
    /// The app listens on IPv6 only, and the pod's address is IPv4.
    Ipv6Only, "ipv6-only" => "make the app listen on 0.0.0.0 as well, or on [::] without IPV6_V6ONLY";
    /// The app listens on IPv4 only, and the pod's address is IPv6.
    Ipv4Only, "ipv4-only" => "make the app listen on [::] instead of 0.0.0.0: without IPV6_V6ONLY it accepts both families";
    /// Every client gets 429: the app limits the request rate.
    RateLimited, "rate-limited" => "exempt the health path from the app's rate limit";
    /// The app refuses to serve any client.
    Unavailable, "unavailable" => "find out from the app's log why it refuses to serve; keep dependencies out of liveness probes";
    /// The same request fails and succeeds at random.
    Flaky, "flaky" => "compare the workers, replicas or pool connections behind failing and succeeding requests";
    /// The command is written for a shell, and the probe starts it without one.
    CommandWithoutShell, "command-without-shell" =>
        "write each argument of the {field} as a separate item, or run the command with a shell: command: [sh, -c, ...]";
    /// The container lacks the command, or a program that it starts.
    CommandNotFound, "command-not-found" =>
        "use a program that the image has in the {field}, or install it; httpGet, tcpSocket and grpc probes need none";
    /// The command gives no credentials, and the app requires them.
    MissingCredentials, "missing-credentials" =>
        "give the command of the {field} the credentials from the container's own variables, in a shell";
    /// The response announces no length and does not end.
    EndlessResponse, "endless-response" => "point the {field} at a path whose response ends";
    /// gRPC's health service does not know the service that the probe names.
    UnknownService, "unknown-service" =>
        "set the service of the {field} to one that the app registers with its health service, or remove it";
    /// The gRPC server has no health service.
    NoHealthService, "no-health-service" =>
        "register gRPC's health service (grpc.health.v1.Health) in the app, or use a tcpSocket probe as the {field}";
    /// The port speaks gRPC over TLS, which a kubelet's grpc probe does not support.
    GrpcOverTls, "grpc-over-tls" =>
        "serve gRPC's health service on a plain port and point the {field} at it, or use an exec probe with a client that \
         speaks TLS";
    /// The probe takes a connection of a pool that requests use up, and waits in its queue.
    WaitsForPool, "probe-waits-for-pool" =>
        "answer the {field} from a recent result or over its own connection instead of one from that pool: otherwise \
         all replicas leave the Service together whenever the pool is busy";
    /// A proxy drops `Host`, and the app refuses requests without it.
    Http10OrMissingHost, "http10-or-missing-host" =>
        "make the proxy in between pass Host on; a kubelet always sends Host, so no change of the probe helps";
}

impl Cause {
    /// Whether the patched probe must succeed to confirm the cause. A patch for gRPC or for a port that does not speak HTTP asks a
    /// new question, which the app may answer with a failure.
    #[must_use]
    pub fn is_helped(self) -> bool {
        !matches!(self, Self::Http1ToHttp2Only | Self::NotHttp)
    }
}

/// The code.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

in_words! {
    /// The part of a request that the doctor changes.
    pub enum Axis {
        Host = "Host",
        UserAgent = "User-Agent",
        Connection = "Connection",
        Accept = "Accept",
        Headers = "the headers", // The others.
        Path = "the path", // With the query.
        Timeout = "the timeout",
        Time = "the time since the start", // How long the container has run.
        Load = "the load", // On the app.
        Port = "the port",
        Scheme = "the scheme", // HTTP or HTTPS.
        Protocol = "the protocol", // The version of HTTP, or gRPC.
        ProxyHeader = "the PROXY header", // Before the request.
        ServerName = "the server name", // Of the TLS handshake (SNI).
        Certificate = "the client certificate", // Of the TLS handshake.
        Source = "the source address", // Where the request comes from.
        Destination = "the address", // Where it goes to.
        Service = "the service", // That a grpc probe names.
        Command = "the command", // Of an exec probe.
    }
}
