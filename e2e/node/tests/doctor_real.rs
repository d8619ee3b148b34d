//! The doctor against real software: Uvicorn with Starlette's TrustedHostMiddleware as in the founding story, Django, Nginx with
//! TLS and with the PROXY protocol, and Tomcat. What is not on this machine is fetched from its package index; a test that cannot have
//! its software says so and proves nothing.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e_kubelet::diagnosis::{Cause, Diagnosis};
use e2e_node::{
    doctor::{Asked, diagnose},
    poll::{self, Look},
    probe::Profile,
};
use probed::Program;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A directory of a test's own, below the build's.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).expect("a directory below target/");
    directory
}

/// A virtual environment with these packages, made once; `None`, with a word about it, where that cannot be.
fn python(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let place = directory(name);
    let python = place.join("bin/python");
    let done = place.join("installed");
    if done.exists() {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&place).output();
    let installed = made.and_then(|_| {
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(packages)
            .output()
    });
    match installed {
        Ok(output) if output.status.success() => {
            std::fs::write(&done, "").expect("a file below target/");
            Some(python)
        }
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            eprintln!("SKIPPED: {} cannot be installed, so nothing was proved: {why}", packages.join(" and "));
            None
        }
        Err(error) => {
            eprintln!("SKIPPED: there is no python3 with venv, so nothing was proved: {error}");
            None
        }
    }
}

fn nginx() -> Option<PathBuf> {
    let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: there is no nginx on this machine, so nothing was proved; install nginx-light");
    }
    found
}

async fn listening(mut command: Command, address: SocketAddr) -> Program {
    let running = Program::start(&mut command).expect("the program starts");
    let connected = || async move { tokio::net::TcpStream::connect(address).await.into() };
    let (limit, period) = (Duration::from_secs(20), Duration::from_millis(50));
    poll::until("a listener", limit, period, connected).await.expect("the program listens in time");
    running
}

async fn examined(asked: Asked) -> Diagnosis {
    let (case, target) = asked.case().await.expect("a URL");
    diagnose(&case, &target, &Profile::default()).await
}

/// What the founding story says: curl gets 200, the kubelet 400, and the patch helps.
fn assert_host_allow_list(diagnosis: &Diagnosis, accepted: &str) {
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::HostAllowList), true), "{diagnosis:#?}");
    assert_eq!(diagnosis.observation.status, Some(400));
    assert_eq!(diagnosis.flip.as_ref().map(|flip| flip.to.as_str()), Some(accepted));
    assert_eq!(diagnosis.fix.as_ref().and_then(|fix| fix.verified), Some(true), "{diagnosis:#?}");
}

#[tokio::test]
async fn uvicorn_with_trusted_hosts_is_the_founding_story() {
    let Some(python) = python("venv-starlette", &["uvicorn", "starlette"]) else { return };
    let app = "from starlette.applications import Starlette\n\
               from starlette.middleware import Middleware\n\
               from starlette.middleware.trustedhost import TrustedHostMiddleware\n\
               from starlette.responses import PlainTextResponse\n\
               from starlette.routing import Route\n\
               hosts = Middleware(TrustedHostMiddleware, allowed_hosts=['localhost', '127.0.0.1'])\n\
               health = Route('/health', lambda request: PlainTextResponse('OK'))\n\
               app = Starlette(routes=[health], middleware=[hosts])\n";
    let place = directory("starlette");
    std::fs::write(place.join("app.py"), app).expect("a file below target/");
    let address = probed::closed_port();
    let mut command = Command::new(python);
    command.args(["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", &address.port().to_string()]);
    command.current_dir(place);
    let _running = listening(command, address).await;
    let diagnosis = examined(Asked::of(format!("http://{address}/health"))).await;
    assert_host_allow_list(&diagnosis, &format!("localhost:{}", address.port()));
}

#[tokio::test]
async fn django_with_allowed_hosts_is_the_same() {
    let Some(python) = python("venv-django", &["django"]) else { return };
    let app = "import django.core.management, django.http, django.urls\n\
               from django.conf import settings\n\
               settings.configure(DEBUG=False, SECRET_KEY='x', ALLOWED_HOSTS=['localhost'], ROOT_URLCONF=__name__,\n\
               \u{20}   MIDDLEWARE=['django.middleware.common.CommonMiddleware'])\n\
               urlpatterns = [django.urls.path('health', lambda request: django.http.HttpResponse('OK'))]\n\
               if __name__ == '__main__': django.core.management.execute_from_command_line()\n";
    let place = directory("django");
    std::fs::write(place.join("app.py"), app).expect("a file below target/");
    let address = probed::closed_port();
    let mut command = Command::new(python);
    command.args(["app.py", "runserver", "--noreload", &address.to_string()]).current_dir(place);
    let _running = listening(command, address).await;
    let diagnosis = examined(Asked::of(format!("http://{address}/health"))).await;
    assert_host_allow_list(&diagnosis, &format!("localhost:{}", address.port()));
}

/// Nginx with one server.
async fn nginx_with(name: &str, server: impl Fn(&Path, SocketAddr) -> String) -> Option<(Program, SocketAddr)> {
    let program = nginx()?;
    let place = directory(name);
    let address = probed::closed_port();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|part| format!("{part}_temp_path {};\n", place.join(part).display()))
        .collect();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}server {{\n{}\n\
         location / {{ return 200 OK; }}\n}}\n}}\n",
        place.display(),
        server(&place, address)
    );
    std::fs::write(place.join("nginx.conf"), config).expect("a file below target/");
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p"]).arg(&place).arg("-c").arg(place.join("nginx.conf"));
    Some((listening(command, address).await, address))
}

/// The servers' certificate as Nginx reads it.
fn pem(place: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (place.join("cert.pem"), place.join("key.pem"));
    std::fs::write(&certificate, probed::certificate_pem()).expect("a file below target/");
    std::fs::write(&key, probed::key_pem()).expect("a file below target/");
    (certificate, key)
}

#[tokio::test]
async fn nginx_with_tls_answers_400_to_a_plain_probe() {
    let tls = |place: &Path, address: SocketAddr| {
        let (certificate, key) = pem(place);
        format!(
            "listen {address} ssl;\nssl_certificate {};\nssl_certificate_key {};",
            certificate.display(),
            key.display()
        )
    };
    let Some((_running, address)) = nginx_with("nginx-tls", tls).await else { return };
    let diagnosis = examined(Asked::of(format!("http://{address}/health"))).await;
    assert_eq!((diagnosis.cause, diagnosis.observation.status), (Some(Cause::PlainToTls), Some(400)), "{diagnosis:#?}");
    assert_eq!(diagnosis.fix.as_ref().and_then(|fix| fix.verified), Some(true));
    let diagnosis = examined(Asked { https: Some(true), ..Asked::of(format!("http://{address}/health")) }).await;
    assert!(diagnosis.success(), "{diagnosis:#?}");
}

#[tokio::test]
async fn nginx_without_tls_breaks_a_handshake() {
    let plain = |_: &Path, address: SocketAddr| format!("listen {address};");
    let Some((_running, address)) = nginx_with("nginx-plain", plain).await else { return };
    let diagnosis = examined(Asked::of(format!("https://{address}/health"))).await;
    assert_eq!(diagnosis.cause, Some(Cause::TlsToPlain), "{diagnosis:#?}");
    assert_eq!(diagnosis.fix.as_ref().and_then(|fix| fix.verified), Some(true));
}

#[tokio::test]
async fn nginx_behind_the_proxy_protocol_wants_its_header() {
    let proxied = |_: &Path, address: SocketAddr| format!("listen {address} proxy_protocol;");
    let Some((_running, address)) = nginx_with("nginx-proxy", proxied).await else { return };
    let diagnosis = examined(Asked::of(format!("http://{address}/health"))).await;
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::ProxyProtocolExpected), true), "{diagnosis:#?}");
}

/// Java and Tomcat, taken out of Debian's packages without installing them, once.
const TOMCAT: &str = r#"
set -e
java=$(apt-cache depends default-jre-headless | grep -o -m1 'openjdk-[0-9]*-jre-headless')
apt-get download "$java" libtomcat10-java tomcat10-common
for package in *.deb; do dpkg -x "$package" .; done
# What links into the machine's /etc links into the packages' own.
find usr/lib/jvm -lname '/etc/*' | while read -r link; do ln -sfn "$PWD$(readlink "$link")" "$link"; done
touch installed
"#;

/// A Tomcat that serves `/health`.
async fn tomcat() -> Option<(Program, SocketAddr)> {
    let place = directory("tomcat");
    if !place.join("installed").exists() {
        let made = Command::new("sh").args(["-c", TOMCAT]).current_dir(&place).output().expect("there is a shell");
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr);
            eprintln!("SKIPPED: Tomcat's packages cannot be had, so nothing was proved: {why}");
            return None;
        }
    }
    let address = probed::closed_port();
    let server = format!(
        r#"<Server port="-1"><Service name="s"><Connector address="127.0.0.1" port="{}"/>
        <Engine name="e" defaultHost="h"><Host name="h" appBase="webapps"/></Engine></Service></Server>"#,
        address.port()
    );
    let files = r#"<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
        <servlet><servlet-name>d</servlet-name><servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class></servlet>
        <servlet-mapping><servlet-name>d</servlet-name><url-pattern>/</url-pattern></servlet-mapping></web-app>"#;
    for (file, text) in
        [("conf/server.xml", server.as_str()), ("webapps/ROOT/WEB-INF/web.xml", files), ("webapps/ROOT/health", "OK")]
    {
        let path = place.join(file);
        std::fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a directory below target/");
        std::fs::write(path, text).expect("a file below target/");
    }
    let machines = std::fs::read_dir(place.join("usr/lib/jvm")).expect("Java's packages").flatten();
    let java = machines.map(|entry| entry.path().join("bin/java")).find(|java| java.exists()).expect("a java");
    let mut command = Command::new(java);
    command.args(["-Dcatalina.home=.", "-Dcatalina.base=.", "-Djava.io.tmpdir=."]).current_dir(&place);
    command.args([
        "-cp",
        "usr/share/java/*:usr/share/tomcat10/bin/*",
        "org.apache.catalina.startup.Bootstrap",
        "start",
    ]);
    let running = listening(command, address).await;
    // It listens before it has compiled what answers.
    let answers = || async move {
        match tokio::time::timeout(Duration::from_secs(10), first_byte(address)).await {
            Ok(Ok(_)) => Look::Done(()),
            Ok(Err(error)) => Look::NotYet(error.to_string()),
            Err(_) => Look::NotYet("silence".to_owned()),
        }
    };
    poll::until("an answer", Duration::from_secs(60), Duration::from_millis(50), answers)
        .await
        .expect("it answers in time");
    Some((running, address))
}

async fn first_byte(address: SocketAddr) -> std::io::Result<u8> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    stream.read_u8().await
}

#[tokio::test]
async fn tomcat_refuses_the_form_of_hosts_and_paths() {
    let Some((_running, address)) = tomcat().await else { return };
    let url = format!("http://{address}/health");
    let diagnosis = examined(Asked::of(url.clone())).await;
    assert!(diagnosis.success(), "{diagnosis:#?}");
    let underscore = Asked { headers: vec!["Host: my_app".to_owned()], ..Asked::of(url.clone()) };
    for (asked, cause) in [(underscore, Cause::HostSyntax), (Asked::of(format!("{url}?a=|")), Cause::MalformedPath)] {
        let diagnosis = examined(asked).await;
        assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(cause), true), "{diagnosis:#?}");
        assert_eq!(diagnosis.observation.status, Some(400));
    }
}
