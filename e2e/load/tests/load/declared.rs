//! Scenarios as a file declares them, for tests and benches.

use std::time::Duration;

use e2e_load::load::scenarios::{LedgerSpec, Steps};
use serde_json::{Value, json};

/// The reference system's throughput: clients register during the set-up, and then send operations.
pub(crate) fn throughput() -> Steps {
    let steps = steps(
        "throughput",
        json!([
            {
                "name": "register", "once": true, "method": "POST", "path": "/register", "status": 200, "attempts": 10,
                "body": r#"{"client":"key-${client}"}"#, "capture": {"id": "/id", "token": "/token"},
            },
            {
                "name": "operation", "method": "POST", "path": "/ops", "status": 200, "attempts": 10,
                "headers": {"authorization": "Bearer ${id}.${token}"},
                "body": r#"{"operation":"${run}-${client}-${round}","amount":5}"#,
                "fields": {"/operation": "${run}-${client}-${round}", "/committed": true},
            },
        ]),
    );
    let key = "${run}-${client}-${round}".to_owned();
    Steps { ledger: Some(LedgerSpec { key, step: None }), ..steps }
}

pub(crate) fn steps(name: &str, steps: Value) -> Steps {
    Steps {
        name: name.to_owned(),
        host: "test".to_owned(),
        run: "op".to_owned(),
        think: Duration::ZERO,
        steps: serde_json::from_value(steps).expect("steps"),
        ledger: None,
    }
}
