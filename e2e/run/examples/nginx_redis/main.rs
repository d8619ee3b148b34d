//! The tests of another system: `cargo run -p e2e-run --example nginx_redis -- local`, or `docker`, or `k8s`.
use e2e_run::Options;

fn main() -> std::process::ExitCode {
    let target = std::env::args().nth(1).map(|name| name.parse().expect("docker, k8s or local"));
    e2e_run::main(Options { target, ..Options::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nginx_redis")) })
}

#[rstest::rstest]
#[case::nginx("nginx", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK")]
#[case::redis("redis", "PING\r\nQUIT\r\n", "+PONG")]
#[tokio::test]
async fn answers(
    #[from(e2e::fixture::environment)] environment: e2e_report::environment::Environment,
    #[case] name: &str,
    #[case] question: &str,
    #[case] expected: &str,
) {
    e2e::record::measure(&environment, "answers", name, async {
        let mut stream = std::net::TcpStream::connect(environment.service(name)?.address)?;
        std::io::Write::write_all(&mut stream, question.as_bytes())?;
        let answer = std::io::read_to_string(stream)?.lines().next().unwrap_or_default().to_owned();
        let failure = (answer != expected).then(|| format!("{name} answered {answer}"));
        Ok::<_, Box<dyn std::error::Error>>((answer, e2e_report::record::Measured::Nothing, failure))
    })
    .await;
}
