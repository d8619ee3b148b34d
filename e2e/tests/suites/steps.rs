//! What clients of the reference system do, as steps.

use e2e::{
    environment::Environment,
    load::scenarios::{LedgerSpec, Steps},
};
use serde_json::{Value, json};

/// The name under which clients call the system, as through a port-forward on a developer's machine.
pub(crate) const HOST: &str = "localhost";

/// Clients register together and keep their sessions.
pub(crate) fn registration(environment: &Environment) -> Steps {
    let request = json!({"method": "POST", "path": "/register", "body": r#"{"client":"${run}-registration-${client}"}"#, "status": 200});
    let register = json!({
        "name": "register", "once": true, "measured": true, "outcome": "registered",
        "attempts": environment.scenario.attempts, "capture": {"id": "/id", "token": "/token"},
    });
    let keep = json!({
        "name": "keep_session", "think": "250ms", "fields": {"/id": "${id}", "/token": "${token}"},
    });
    steps(environment, "registration", vec![with(&request, register), with(&request, keep)], None)
}

/// Clients register, and then send one operation after the other.
pub(crate) fn throughput(environment: &Environment) -> Steps {
    let register = json!({
        "name": "register", "once": true, "method": "POST", "path": "/register", "status": 200,
        "body": r#"{"client":"${run}-throughput-${client}"}"#, "attempts": environment.scenario.attempts,
        "capture": {"id": "/id", "token": "/token"},
    });
    let operation = json!({
        "name": "operation", "method": "POST", "path": "/ops", "status": 200, "attempts": 10,
        "headers": {"authorization": "Bearer ${id}.${token}"}, "server_time": "x-upstream-time",
        "body": r#"{"operation":"${run}-operation-${client}-${round}","amount":5}"#,
        "fields": {"/operation": "${run}-operation-${client}-${round}", "/committed": true},
    });
    let ledger = LedgerSpec { key: "${run}-operation-${client}-${round}".to_owned(), step: None };
    steps(environment, "throughput", vec![register, operation], Some(ledger))
}

fn with(request: &Value, step: Value) -> Value {
    let (Value::Object(mut request), Value::Object(step)) = (request.clone(), step) else { return Value::Null };
    request.extend(step);
    Value::Object(request)
}

fn steps(environment: &Environment, name: &str, steps: Vec<Value>, ledger: Option<LedgerSpec>) -> Steps {
    Steps {
        name: name.to_owned(),
        host: HOST.to_owned(),
        run: environment.run_id.clone(),
        think: std::time::Duration::ZERO,
        steps: serde_json::from_value(Value::Array(steps)).expect("steps"),
        ledger,
    }
}
