//! One request again and again, for any server: [`Fixed`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::load::{Client, ClientReport, Identity, Moment, Next, Outcome, RequestHead, Response, Scenario, Step};

/// Sends the same request in a closed loop. A status below 400 is what it expects, unless told more exactly. Its one step is
/// called `request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    request: Bytes,
    status: Option<u16>,
    body: Option<Bytes>,
}

/// In JSON they are base64: requests and bodies need not be text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Bytes(Vec<u8>);

impl From<Bytes> for String {
    fn from(Bytes(bytes): Bytes) -> Self {
        BASE64.encode(bytes)
    }
}

impl TryFrom<String> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64.decode(text).map(Self)
    }
}

impl Fixed {
    /// A request, with a body if there is one.
    pub fn new(head: &RequestHead, body: Option<&[u8]>) -> Self {
        let mut request = Vec::new();
        head.write(body, &mut request);
        Self { request: Bytes(request), status: None, body: None }
    }

    /// Expects this status.
    pub fn expect_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Expects exactly this body.
    pub fn expect_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(Bytes(body.into())), ..self }
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
        request.extend_from_slice(&self.fixed.request.0);
        Next::Send(Step(0))
    }

    fn receive(&mut self, _at: &Moment, _step: Step, response: &Response<'_>) -> Outcome {
        let expected = self.fixed.status.map_or(response.status < 400, |status| status == response.status);
        match &self.fixed.body {
            _ if !expected => Outcome::Status(response.status),
            Some(body) if body.0 != response.body => Outcome::UnexpectedBody,
            _ => Outcome::Ok,
        }
    }

    fn finish(self, _at: &Moment) -> ClientReport {
        ClientReport { client: self.client, ..ClientReport::default() }
    }
}
