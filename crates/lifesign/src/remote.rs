//! Asking a server: the same HTTP interface that everybody has.

use std::time::Duration;

use anyhow::anyhow;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::StatusCode;

use crate::cli::Global;
use crate::data;
use crate::failure::Failure;

/// Longest answer that is read, in bytes.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// Where a server runs if nobody says otherwise.
const LOCAL: &str = "http://127.0.0.1:7700";

/// How long one try of [`Remote::try_post`] may take.
const ONE_TRY: Duration = Duration::from_secs(10);

/// Why something was not taken, and whether another try may help.
#[derive(Debug)]
pub(crate) struct Unposted {
    /// Whether it is worth trying again: the server does not answer, or is busy.
    pub(crate) again: bool,
    /// What happened.
    pub(crate) why: Failure,
}

/// A server and the right to ask it.
pub(crate) struct Remote {
    base: String,
    token: Option<String>,
    agent: Agent,
}

impl Remote {
    /// The server of `--server` with the token of `--token`, or the one on this machine.
    pub(crate) fn new(global: &Global) -> Self {
        let base = global.server.clone().unwrap_or_else(|| LOCAL.to_owned());
        let base = base.trim_end_matches('/').to_owned();
        let address = base.split_once("://").map_or(base.as_str(), |(_, rest)| rest);
        let token = global.token.clone().or_else(|| data::find_token(address, global.server.is_none()));
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .timeout_connect(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .into();
        Self { base, token, agent }
    }

    /// Asks for `path` and reads the answer as `T`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(request.call())
    }

    /// What `/readyz` says, of a server that is not ready, too.
    pub(crate) fn health(&self) -> Result<Value, Failure> {
        let result = self.agent.get(format!("{}/readyz", self.base)).call();
        let unready = StatusCode::SERVICE_UNAVAILABLE;
        self.answer(result.map(|mut response| {
            if response.status() == unready {
                *response.status_mut() = StatusCode::OK;
            }
            response
        }))
    }

    /// All items of a list, page by page.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page: Value = match &cursor {
                None => self.get(path)?,
                Some(cursor) => self.get(&format!("{path}{join}cursor={cursor}"))?,
            };
            if let Some(more) = page["items"].as_array() {
                items.extend(more.iter().cloned());
            }
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
    }

    /// Sends `body` to `path`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let mut request =
            self.agent.post(format!("{}{path}", self.base)).header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(request.send(body.to_string()))
    }

    /// Sends `body` to `path` for somebody who tries again when that makes sense.
    pub(crate) fn try_post(&self, path: &str, body: &Value) -> Result<(), Unposted> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/json")
            .config()
            .timeout_global(Some(ONE_TRY))
            .build();
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.send(body.to_string());
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        self.answer::<Value>(answer).map(|_| ()).map_err(|why| {
            let again = matches!(why, Failure::Unreachable(_)) || matches!(status, 408 | 429 | 500..);
            Unposted { again, why }
        })
    }

    fn answer<T: DeserializeOwned>(
        &self,
        result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        let mut response = result.map_err(|error| {
            Failure::Unreachable(format!(
                "no lifesign answers at {}: {error}; start one with `lifesign up`, or name it with --server",
                self.base
            ))
        })?;
        let status = response.status();
        let body =
            response.body_mut().with_config().limit(MOST_BYTES).read_to_string().map_err(|error| {
                Failure::Unreachable(format!("{} broke off its answer: {error}", self.base))
            })?;
        if status.is_success() {
            let text = if body.is_empty() { "null" } else { &body };
            return serde_json::from_str(text).map_err(|error| {
                anyhow!("{} answered something else than lifesign does: {error}", self.base).into()
            });
        }
        Err(self.refusal(status, &body))
    }

    fn refusal(&self, status: StatusCode, body: &str) -> Failure {
        let problem: Value = serde_json::from_str(body).unwrap_or_default();
        let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("no reason given");
        let mut text = detail.to_owned();
        for error in problem["errors"].as_array().into_iter().flatten() {
            let place = error["pointer"].as_str().unwrap_or_default();
            let detail = error["detail"].as_str().unwrap_or_default();
            text.push_str(&format!("\n  {place} {detail}").replace("  \n", "\n"));
        }
        match status.as_u16() {
            401 if self.token.is_none() => Failure::Refused(format!(
                "{text}; give a token with --token or LIFESIGN_TOKEN (no data directory of this server was found)"
            )),
            401 | 403 => Failure::Refused(text),
            404 => Failure::NotFound(text),
            _ => anyhow!("{text} (HTTP {})", status.as_u16()).into(),
        }
    }
}
