//! The causes that the doctor tells apart and what it changes to do so. Main types: [`Cause`], [`Axis`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a probe fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The app refuses the pod's address as `Host`.
    HostAllowList,
    /// The app refuses the form of the `Host` that the probe sends, and takes other names that it does not know.
    HostSyntax,
    /// The server wants TLS clients to ask for a name, which a kubelet does not do at an address.
    SniRequired,
    /// A plain request goes to a port that speaks TLS.
    PlainToTls,
    /// TLS goes to a port that does not speak it.
    TlsToPlain,
    /// A request of HTTP/1 goes to a port that speaks only HTTP/2, as gRPC servers do.
    Http1ToHttp2Only,
    /// The server waits for a PROXY header in front of the request.
    ProxyProtocolExpected,
    /// The headers are more than the server takes.
    HeaderTooLarge,
    /// A header that the probe sends is refused.
    HeaderRefused,
    /// The server refuses bytes of the path or query.
    MalformedPath,
    /// The app wants a header, a query or credentials.
    MissingHeader,
    /// The path does not serve GET.
    MethodOrPath,
    /// The port does not give the answer, and another one does.
    WrongPort,
    /// The app listens on a loopback address only.
    BoundToLoopback,
    /// The app refuses the address that the request comes from.
    SourceBlocked,
    /// A redirect leads in a circle, or to another host and so hides that the app is broken.
    RedirectElsewhere,
    /// The answer is right and comes after the timeout.
    TooSlow,
    /// The answer is right a while after the start, for which the probe does not wait.
    NotStarted,
    /// The app answers everyone that it cannot serve, and something that it is configured with is away.
    DependencyDown,
    /// The response ends before the length that it announces.
    TruncatedResponse,
    /// The app redirects plain requests to HTTPS, where the probe gets no answer.
    RedirectToHttps,
    /// The server wants a client certificate, and a kubelet has none.
    ClientCertificateRequired,
    /// The port speaks another protocol than HTTP.
    NotHttp,
    /// The app listens on IPv6 addresses only, and the pod's address is one of IPv4.
    Ipv6Only,
    /// Everyone gets 429: requests come more often than the app allows.
    RateLimited,
    /// The app answers everyone that it cannot serve.
    Unavailable,
    /// The same request fails and succeeds by turns.
    Flaky,
    /// The response announces no length and does not end.
    EndlessResponse,
    /// gRPC's health service does not know the service that the probe names.
    UnknownService,
    /// A gRPC server without the health service.
    NoHealthService,
    /// gRPC is spoken over TLS, which a kubelet's grpc probe does not do.
    GrpcOverTls,
    /// Something between drops `Host`, without which the app refuses a request.
    #[serde(rename = "http10-or-missing-host")]
    Http10OrMissingHost,
}

impl Cause {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 32] = [
        Self::HostAllowList,
        Self::HostSyntax,
        Self::SniRequired,
        Self::PlainToTls,
        Self::TlsToPlain,
        Self::Http1ToHttp2Only,
        Self::ProxyProtocolExpected,
        Self::HeaderTooLarge,
        Self::HeaderRefused,
        Self::MalformedPath,
        Self::MissingHeader,
        Self::MethodOrPath,
        Self::WrongPort,
        Self::BoundToLoopback,
        Self::SourceBlocked,
        Self::RedirectElsewhere,
        Self::TooSlow,
        Self::NotStarted,
        Self::DependencyDown,
        Self::TruncatedResponse,
        Self::RedirectToHttps,
        Self::ClientCertificateRequired,
        Self::NotHttp,
        Self::Ipv6Only,
        Self::RateLimited,
        Self::Unavailable,
        Self::Flaky,
        Self::EndlessResponse,
        Self::UnknownService,
        Self::NoHealthService,
        Self::GrpcOverTls,
        Self::Http10OrMissingHost,
    ];

    /// The code, such as `host-allow-list`.
    #[must_use]
    pub fn code(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(code)) => code,
            _ => String::new(),
        }
    }

    /// Whether the probe has to succeed with what the patch changes, or else the change was not what helped. A patch for gRPC or for a port
    /// that is not one of HTTP asks something new, to which the app may say no.
    #[must_use]
    pub fn is_helped(self) -> bool {
        !matches!(self, Self::Http1ToHttp2Only | Self::NotHttp)
    }

    /// What to do about it, for a probe of the given field or for several.
    #[must_use]
    pub fn remedy(self, field: &str) -> String {
        match self {
            Self::HostAllowList => format!(
                "exempt the health path from the app's Host check, or send a Host that it knows with httpHeaders of the {field}"
            ),
            Self::HostSyntax => format!("send a well-formed Host with httpHeaders of the {field}"),
            Self::SniRequired => {
                "let the app serve its health path to clients without a server name, or on a plain port: a kubelet asks for no \
                 name at a pod's address"
                    .to_owned()
            }
            Self::PlainToTls => format!("set scheme: HTTPS in the {field}; a kubelet does not verify the certificate"),
            Self::TlsToPlain => format!("set scheme: HTTP in the {field}"),
            Self::Http1ToHttp2Only => format!(
                "use a grpc probe as the {field} where the app has gRPC's health service, or serve the health path over HTTP/1.1"
            ),
            Self::ProxyProtocolExpected => {
                format!("give the app a port without the PROXY protocol and let the {field} ask that")
            }
            Self::HeaderTooLarge => format!("shorten httpHeaders of the {field}, or raise the app's limit"),
            Self::HeaderRefused => format!("override or remove that header with httpHeaders of the {field}"),
            Self::MalformedPath => format!("escape or avoid these bytes in the path of the {field}"),
            Self::MissingHeader => format!(
                "exempt the health path from that requirement, or send what it wants with httpHeaders or the path of the {field}"
            ),
            Self::MethodOrPath => format!("let the {field} ask a path that the app serves to GET"),
            Self::WrongPort => format!("let the {field} ask the port on which the app listens"),
            Self::BoundToLoopback => {
                "let the app listen on 0.0.0.0 or [::], not on a loopback address: a kubelet comes from outside the pod"
                    .to_owned()
            }
            Self::SourceBlocked => {
                "let the app serve its health path to the node's address, from which a kubelet comes".to_owned()
            }
            Self::RedirectElsewhere => {
                format!("let the app answer its health path itself, or let the {field} ask where the redirect leads")
            }
            Self::TooSlow => format!("make the health path answer at once, or raise timeoutSeconds of the {field}"),
            Self::NotStarted => "add a startupProbe that waits for as long as the app takes to start".to_owned(),
            Self::DependencyDown => {
                "bring back what the app depends on; a liveness probe should not look at dependencies".to_owned()
            }
            Self::TruncatedResponse => "let the app send the whole body that it announces".to_owned(),
            Self::RedirectToHttps => format!(
                "let the app answer its health path without a redirect, or let the {field} ask the port that speaks TLS, with scheme: HTTPS"
            ),
            Self::ClientCertificateRequired => format!(
                "let the app serve its health path to clients without a certificate, on a port of its own if need be, and let the \
                 {field} ask that: a kubelet presents none"
            ),
            Self::NotHttp => format!(
                "let the {field} ask the port on which the app speaks HTTP, or use a tcpSocket probe, or an exec probe with the \
                 protocol's own client"
            ),
            Self::Ipv6Only => "let the app listen on 0.0.0.0 as well, or on [::] without the option IPV6_V6ONLY".to_owned(),
            Self::RateLimited => "exempt the health path from the app's limit of requests".to_owned(),
            Self::Unavailable => {
                "find out from the app's log why it refuses to serve; a liveness probe should not look at dependencies".to_owned()
            }
            Self::Flaky => {
                "compare what serves the requests that fail with what serves the others: workers, replicas, connections of a pool"
                    .to_owned()
            }
            Self::EndlessResponse => format!("let the {field} ask a path whose answer ends"),
            Self::UnknownService => format!("let the {field} name a service that the app registers with its health service, or none"),
            Self::NoHealthService => {
                format!("register gRPC's health service (grpc.health.v1.Health) in the app, or use a tcpSocket probe as the {field}")
            }
            Self::GrpcOverTls => format!(
                "serve gRPC's health service on a plain port and let the {field} ask that, or use an exec probe with a client that speaks TLS"
            ),
            Self::Http10OrMissingHost => {
                "let what stands between pass Host on; a kubelet always sends it, so no change of the probe helps".to_owned()
            }
        }
    }
}

/// The code.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// The `Host` header.
    Host,
    /// The `User-Agent` header.
    UserAgent,
    /// The `Connection` header.
    Connection,
    /// The `Accept` header.
    Accept,
    /// The other headers.
    Headers,
    /// Path and query.
    Path,
    /// The timeout.
    Timeout,
    /// How long the container has run.
    Time,
    /// What else the app has to do.
    Load,
    /// The port.
    Port,
    /// HTTP or HTTPS.
    Scheme,
    /// The version of HTTP, or gRPC.
    Protocol,
    /// A PROXY header in front.
    ProxyHeader,
    /// The name that a TLS handshake asks for.
    ServerName,
    /// The address that the request comes from.
    Source,
    /// The address that the request goes to.
    Destination,
    /// The service that a grpc probe names.
    Service,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "Host",
            Self::UserAgent => "User-Agent",
            Self::Connection => "Connection",
            Self::Accept => "Accept",
            Self::Headers => "the headers",
            Self::Path => "the path",
            Self::Timeout => "the timeout",
            Self::Time => "the time since the start",
            Self::Load => "the load",
            Self::Port => "the port",
            Self::Scheme => "the scheme",
            Self::Protocol => "the protocol",
            Self::ProxyHeader => "the PROXY header",
            Self::ServerName => "the server name",
            Self::Source => "the source address",
            Self::Destination => "the address",
            Self::Service => "the service",
        })
    }
}
