//! What a file may say, and what is refused.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn compiled(steps: Value) -> Result<StepsScenario, String> {
    with_ledger(steps, None)
}

fn with_ledger(steps: Value, key: Option<&str>) -> Result<StepsScenario, String> {
    let steps = serde_json::from_value(steps).map_err(|error| error.to_string())?;
    StepsScenario::new(&Steps {
        name: "test".to_owned(),
        host: "localhost".to_owned(),
        run: "r_1".to_owned(),
        think: Duration::ZERO,
        steps,
        ledger: key.map(|key| LedgerSpec { key: key.to_owned(), step: None }),
    })
    .map_err(|error| error.to_string())
}

#[test]
fn steps_that_cannot_be_taken_say_why() {
    let nothing =
        "every step runs once, before the measured window: remove `once` from one of them, or add `measured = true`";
    let known = "there is ${client}, ${random}, ${round}, ${run}";
    for (steps, said) in [
        (json!([]), "there are no steps: add one as `[[scenario.NAME.steps]]`".to_owned()),
        (json!([{"name": "a", "path": "/", "once": true}]), nothing.to_owned()),
        (
            json!([{"name": "a", "path": "/${token}"}]),
            format!("step `a`: `${{token}}` has no value here; {known}"),
        ),
        (
            json!([{"name": "a", "path": "/"}, {"name": "a", "path": "/"}]),
            "two steps are called `a`: rename one".to_owned(),
        ),
        (
            json!([{"name": "a", "path": "/", "attempts": 0}]),
            "step `a`: attempts is 0; it must be at least 1".to_owned(),
        ),
        (
            json!([{"name": "a", "path": "/a b"}]),
            "step `a`: target \"/a b\" is not allowed in an HTTP request".to_owned(),
        ),
        (
            json!([{"name": "a", "path": "/", "fields": {"/list": [1]}}]),
            "step `a`: `/list` is compared with a list or a table; name each value in it".to_owned(),
        ),
        (
            json!([{"name": "a", "path": "/", "capture": {"id": "id"}}]),
            "step `a`: `id` is not a place in an answer; write a JSON pointer such as /items/0/id; a capture may also be \
             header:NAME, cookie:NAME or body"
                .to_owned(),
        ),
        (
            json!([{"name": "a", "path": "/", "status": "ok"}]),
            "invalid type: string \"ok\", expected a status such as 200, or a list of them".to_owned(),
        ),
        (
            json!([{"name": "a", "path": "/", "status": [20]}]),
            "20 is not a status; write three digits, such as 200".to_owned(),
        ),
        (
            json!([{"name": "a", "path": "/", "think": "5"}]),
            "`5` is not a duration; write a number with a unit, such as 250ms, 60s or 5m".to_owned(),
        ),
    ] {
        assert_eq!(compiled(steps).map(drop), Err(said));
    }
    let captured = json!([
        {"name": "use", "path": "/${token}"},
        {"name": "get", "path": "/", "once": true, "capture": {"token": "/token"}},
    ]);
    assert!(compiled(captured).is_ok(), "what is done once comes first");
}

#[test]
fn a_ledger_knows_its_step_and_its_keys() {
    let two = json!([{"name": "a", "path": "/"}, {"name": "b", "path": "/"}]);
    let refused = with_ledger(two, Some("${run}")).unwrap_err();
    assert_eq!(refused, "ledger: set `step` to the step whose answer acknowledges the key");
    let one = || json!([{"name": "a", "path": "/"}]);
    let refused = with_ledger(one(), Some("${id}")).unwrap_err();
    assert!(refused.starts_with("ledger: `${id}` in its key has no value; there is ${client}"), "{refused}");

    let scenario = with_ledger(one(), Some("${run}-${client}/${round}%")).unwrap();
    let mut key = String::new();
    scenario.write_key(3, 14, &mut key);
    assert_eq!(key, "r_1-3/14%");
    assert_eq!(scenario.key_pattern().as_deref(), Some("r\\_1-%/%\\%"));
}

#[test]
fn a_request_that_is_to_have_content_says_that_it_has_none() {
    for (step, length) in [
        (json!({"method": "POST"}), Some("content-length: 0")),
        (json!({"method": "PUT"}), Some("content-length: 0")),
        (json!({"method": "PATCH"}), Some("content-length: 0")),
        (json!({"method": "POST", "body": "four"}), Some("content-length: 4")),
        (json!({"method": "GET"}), None),
        (json!({"method": "DELETE"}), None),
    ] {
        let mut whole = json!({"name": "a", "path": "/"});
        whole.as_object_mut().unwrap().extend(step.as_object().unwrap().clone());
        let scenario = compiled(json!([whole])).unwrap();
        let mut request = Vec::new();
        assert!(scenario.compiled.steps[0].request.write(&template::Values::new(9), &mut Vec::new(), &mut request));
        let request = String::from_utf8(request).unwrap();
        let lengths: Vec<&str> = request.lines().filter(|line| line.starts_with("content-length")).collect();
        assert_eq!(lengths, Vec::from_iter(length), "{step}");
    }
}
