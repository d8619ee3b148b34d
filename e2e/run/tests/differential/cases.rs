//! Server behaviour times probe, one line each. What real kubelets make of them stands in `recorded`.

/// A pod: what it serves and what it declares.
pub(crate) struct Case {
    /// Names the pod.
    pub(crate) name: &'static str,
    /// Arguments of `probed serve`: `PORT=BEHAVIOUR`, with blanks between.
    pub(crate) serves: &'static str,
    /// Fields of the container.
    pub(crate) probes: &'static str,
}

/// The address of the pod, in a behaviour.
pub(crate) const POD_IP: &str = "$(POD_IP)";

macro_rules! cases {
    ($($name:literal: $serves:literal, $probes:literal;)*) => {
        &[$(Case { name: $name, serves: $serves, probes: $probes }),*]
    };
}

/// Short periods, so that a verdict is there soon; what a case is about differs from them.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = cases! {
    // Status codes at the edges of 200 <= status < 400.
    "status-199": "8000=status=199", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "status-200": "8000=status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "status-204": "8000=status=204", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "status-304": "8000=status=304", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "status-399": "8000=status=399", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "status-400": "8000=status=400", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "status-503": "8000=status=503", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    // Redirects.
    "redirect-relative": "8000=redirect=302,/ok", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-301": "8000=redirect=301,ok", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-308": "8000=redirect=308,/ok?a=b", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-same-host": "8000=redirect=302,http://$(POD_IP):8001/ok 8001=status=204", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-to-failure": "8000=redirect=302,http://$(POD_IP):8001/no 8001=status=500", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-other-host": "8000=redirect=302,http://other.example/ok", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-other-scheme": "8000=redirect=302,app://open", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-circle": "8000=redirect=302,/health", "livenessProbe: {periodSeconds: 1, failureThreshold: 2, httpGet: {path: /health, port: 8000}}";
    "redirect-without-location": "8000=redirect=302,", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-to-tls": "8000=redirect=301,https://$(POD_IP):8443/ok 8443=tls:status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000}}";
    "redirect-with-host": "8000=redirect=302,/ok", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000, httpHeaders: [{name: Host, value: app.example}]}}";
    // Slow answers, and bodies of every kind.
    "slow-in-time": "8000=slow=500", "livenessProbe: {periodSeconds: 2, failureThreshold: 1, httpGet: {path: /, port: 8000}}";
    "slow-late": "8000=slow=2500", "livenessProbe: {periodSeconds: 2, failureThreshold: 2, httpGet: {path: /, port: 8000}}";
    "slow-allowed": "8000=slow=1500", "readinessProbe: {periodSeconds: 2, timeoutSeconds: 3, httpGet: {path: /, port: 8000}}";
    "body-big": "8000=big=20000", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "body-short": "8000=short", "livenessProbe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /, port: 8000}}";
    "body-short-unready": "8000=short", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "body-stalls": "8000=stalls", "livenessProbe: {periodSeconds: 4, failureThreshold: 1, httpGet: {path: /, port: 8000}}";
    "body-chunked": "8000=chunked", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "body-bad-chunks": "8000=bad-chunks", "livenessProbe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /, port: 8000}}";
    "body-to-the-end": "8000=to-the-end", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "body-endless": "8000=endless-body", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "head-interim": "8000=interim", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "head-http10": "8000=http10", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "head-bare-lf": "8000=bare-lf", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "head-half": "8000=half-head", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    // No response at all.
    "closed": "8000=close", "livenessProbe: {periodSeconds: 1, failureThreshold: 2, httpGet: {path: /, port: 8000}}";
    "reset": "8000=reset", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "silent": "8000=silent", "readinessProbe: {periodSeconds: 2, httpGet: {path: /, port: 8000}}";
    "garbage": "8000=garbage", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "refused": "8001=status=200", "livenessProbe: {periodSeconds: 1, failureThreshold: 3, httpGet: {path: /, port: 8000}}";
    // Headers and paths.
    "host-refused": "8000=host=localhost:8000", "livenessProbe: {periodSeconds: 1, failureThreshold: 2, httpGet: {path: /health, port: 8000}}";
    "host-sent": "8000=host=localhost:8000", "livenessProbe: {periodSeconds: 1, failureThreshold: 2, httpGet: {path: /health, port: 8000, httpHeaders: [{name: host, value: 'localhost:8000'}]}}";
    "header-missing": "8000=header=X-Probe", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "header-sent": "8000=header=X-Probe", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000, httpHeaders: [{name: x-probe, value: a}, {name: X-Probe, value: b}, {name: Accept, value: text/plain}, {name: User-Agent, value: me/1}]}}";
    "path-odd": "8000=status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: '/a b/%2F[x]?q={y}', port: 8000}}";
    "host-of-its-own": "8000=status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000, host: 127.0.0.1}}";
    "port-named": "8000=status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: web}}";
    // TLS.
    "tls": "8000=tls:status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000, scheme: HTTPS}}";
    "tls-http2": "8000=tls-h2:status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000, scheme: HTTPS}}";
    "tls-failing": "8000=tls:status=503", "readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: 8000, scheme: HTTPS}}";
    "tls-without-name": "8000=tls-names:status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000, scheme: HTTPS, httpHeaders: [{name: Host, value: app.example}]}}";
    "tls-to-plain": "8000=status=200", "readinessProbe: {periodSeconds: 2, httpGet: {path: /, port: 8000, scheme: HTTPS}}";
    "plain-to-tls": "8000=tls:status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    "plain-to-http2": "8000=h2:status=200", "readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8000}}";
    // Thresholds, and what waits for what.
    "every-second-fails": "8000=every=2,500", "livenessProbe: {periodSeconds: 1, failureThreshold: 2, httpGet: {path: /, port: 8000}}";
    "every-third-kills": "8000=every=3,500", "livenessProbe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /, port: 8000}}";
    "fails-after-a-while": "8000=after=5,500", "livenessProbe: {periodSeconds: 1, failureThreshold: 3, httpGet: {path: /, port: 8000}}";
    "ready-after-a-while": "8000=until=3,503", "readinessProbe: {periodSeconds: 1, successThreshold: 2, httpGet: {path: /, port: 8000}}";
    "startup-in-time": "8000=late=3000:status=200", "startupProbe: {periodSeconds: 1, failureThreshold: 10, httpGet: {path: /, port: 8000}}, livenessProbe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /, port: 8000}}";
    "startup-too-slow": "8000=late=15000:status=200", "startupProbe: {periodSeconds: 1, failureThreshold: 2, httpGet: {path: /, port: 8000}}";
    "liveness-without-startup": "8000=late=15000:status=200", "livenessProbe: {periodSeconds: 1, failureThreshold: 3, httpGet: {path: /, port: 8000}}";
    "delayed-beyond-the-window": "8000=status=500", "livenessProbe: {initialDelaySeconds: 300, periodSeconds: 1, failureThreshold: 1, httpGet: {path: /, port: 8000}}";
    // The other kinds.
    "tcp-open": "8000=silent", "readinessProbe: {periodSeconds: 1, tcpSocket: {port: 8000}}";
    "tcp-closed": "8001=status=200", "livenessProbe: {periodSeconds: 1, failureThreshold: 2, tcpSocket: {port: 8000}}";
    "exec-0": "8000=status=200", "readinessProbe: {periodSeconds: 2, exec: {command: [/probed, exec, '0']}}";
    "exec-1": "8000=status=200", "livenessProbe: {periodSeconds: 2, failureThreshold: 2, exec: {command: [/probed, exec, '1']}}";
    "exec-slow": "8000=status=200", "readinessProbe: {periodSeconds: 2, exec: {command: [/probed, exec, '0', '3000']}}";
};

#[test]
fn there_are_enough_and_each_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
    assert!(CASES.len() >= 40);
}
