//! One request again and again, for any server: [`Fixed`].

use serde::{Deserialize, Serialize};

use crate::load::bytes;
use crate::load::{Client, ClientReport, Identity, Moment, Next, Outcome, RequestHead, Response, Scenario, Step};

/// Sends the same request in a closed loop. A status below 400 is what it expects, unless told more exactly. Its one step is
/// called `request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    #[serde(with = "bytes")]
    request: Vec<u8>,
    status: Option<u16>,
    #[serde(with = "bytes::optional")]
    body: Option<Vec<u8>>,
}

impl Fixed {
    /// A request, with a body if there is one.
    pub fn new(head: &RequestHead, body: Option<&[u8]>) -> Self {
        let mut request = Vec::new();
        match body {
            Some(body) => head.write_with_body(body, &mut request),
            None => head.write(&mut request),
        }
        Self { request, status: None, body: None }
    }

    /// Expects this status.
    pub fn expect_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Expects exactly this body.
    pub fn expect_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self }
    }
}

impl Scenario for Fixed {
    type Client = FixedClient;

    fn name(&self) -> &str {
        "fixed"
    }

    fn steps(&self) -> Vec<String> {
        vec!["request".to_owned()]
    }

    fn client(&self, identity: Identity) -> FixedClient {
        FixedClient { fixed: self.clone(), client: identity.index, ready: false }
    }
}

/// A client of [`Fixed`].
#[derive(Debug)]
pub struct FixedClient {
    fixed: Fixed,
    client: u32,
    ready: bool,
}

impl Client for FixedClient {
    type Report = ClientReport;

    fn next(&mut self, _at: &Moment, request: &mut Vec<u8>) -> Next {
        if !std::mem::replace(&mut self.ready, true) {
            return Next::Ready;
        }
        request.extend_from_slice(&self.fixed.request);
        Next::Send(Step(0))
    }

    fn receive(&mut self, _at: &Moment, _step: Step, response: &Response<'_>) -> Outcome {
        let expected = self.fixed.status.map_or(response.status < 400, |status| status == response.status);
        match &self.fixed.body {
            _ if !expected => Outcome::Status(response.status),
            Some(body) if body != response.body => Outcome::UnexpectedBody,
            _ => Outcome::Ok,
        }
    }

    fn finish(self, _at: &Moment) -> ClientReport {
        ClientReport { client: self.client, ..ClientReport::default() }
    }
}
