//! Plans for tests, made as every other one is, and servers.

use std::{net::SocketAddr, time::Duration};

use e2e_kubelet::status::Exit;
use e2e_node::{
    node::{ExecError, ExecResult, Runtime, RuntimeError},
    probe::Target,
};
use e2e_plan::{Manifest, Objects, Plan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Containers without probes that end by themselves some time after their start, or when they are killed.
pub(crate) struct Containers {
    pub(crate) start: fn(),
    pub(crate) life: Duration,
    pub(crate) killed: watch::Sender<bool>,
}

impl Containers {
    pub(crate) fn living(life: Duration) -> Self {
        Self { start: || {}, life, killed: watch::Sender::new(false) }
    }
}

impl Runtime for Containers {
    async fn start(&self, _: &str, _: &str) -> Result<(), RuntimeError> {
        (self.start)();
        Ok(())
    }

    async fn wait_exit(&self, _: &str, _: &str) -> Exit {
        let mut killed = self.killed.subscribe();
        let code = tokio::select! {
            () = tokio::time::sleep(self.life) => 0,
            _ = killed.wait_for(|killed| *killed) => 137,
        };
        Exit { code, oom_killed: false }
    }

    async fn kill(&self, _: &str, _: &str, _: Duration) -> Result<(), RuntimeError> {
        self.killed.send_replace(true);
        Ok(())
    }

    async fn exec(&self, _: &str, _: &str, _: &[String], _: Duration) -> Result<ExecResult, ExecError> {
        unreachable!("they have no probes")
    }

    fn target(&self, _: &str) -> Option<Target> {
        None
    }
}

/// The address of a server that says its name.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(name.as_bytes()).await.expect("an answer");
        }
    });
    address
}

/// What a server says, or why it says nothing.
pub(crate) async fn ask(address: SocketAddr) -> String {
    let mut text = String::new();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    match stream.read_to_string(&mut text).await {
        Ok(_) => text,
        Err(error) => error.kind().to_string(),
    }
}

/// The plan of manifests in one text.
pub(crate) fn plan(text: &str) -> Plan {
    Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text: text.to_owned() }]))
        .expect("the manifest is right")
}

/// The plan of one Deployment `app` whose pod has this spec, in YAML's flow style.
pub(crate) fn plan_of_pod(spec: &str) -> Plan {
    plan(&deployment("app", spec))
}

/// The manifest of a Deployment whose pods have this spec.
pub(crate) fn deployment(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  selector: {{ matchLabels: {{ app: {name} }} }}\n  \
         template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    spec: {spec}\n"
    )
}

/// The manifest of a Service in front of a Deployment.
pub(crate) fn service(name: &str, of: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ selector: {{ app: {of} }}, ports: [{{ port: {port} }}] }}\n"
    )
}
