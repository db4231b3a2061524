//! What the hub is sent.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{COMMIT, HubState, LARGE, sha256};
use crate::server::{Answer, Request};

impl HubState {
    /// The answer to a request that changes something, if this is one.
    pub(super) fn upload(&mut self, request: &Request) -> Option<Answer> {
        let asked = request.path.split('/').skip(1).collect::<Vec<&str>>();
        if let ["upload", hash] = asked[..] {
            return Some(self.take(hash, request));
        }
        if request.method != "POST" {
            return None;
        }
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        if authorization.is_none() || authorization.as_deref() != request.header("authorization") {
            return Some(Answer::of(
                401,
                r#"{"error": "Invalid username or password."}"#,
            ));
        }
        if self.is_read_only {
            return Some(Answer::of(403, r#"{"error": "You have read access only"}"#));
        }
        let body = String::from_utf8_lossy(&request.body);
        let told = || serde_json::from_str::<Value>(&body).ok();
        match asked[..] {
            ["api", "repos", "create"] => self.create(&told()?),
            ["api", "models", _, _, "preupload", "main"] => plans(&told()?),
            [_, _, "info", "lfs", "objects", "batch"] => self.wanted(&told()?, request),
            ["verify"] => Some(Answer::of(200, "{}")),
            ["api", "models", owner, name, "commit", "main"] => {
                self.commit(&format!("{owner}/{name}"), &body)
            }
            _ => None,
        }
    }

    fn create(&mut self, told: &Value) -> Option<Answer> {
        let name = format!(
            "{}/{}",
            told["organization"].as_str()?,
            told["name"].as_str()?
        );
        self.private
            .insert(name.clone(), told["private"].as_bool()?);
        self.files.insert(name, [].into());
        Some(Answer::of(200, "{}"))
    }

    /// Which of the large files are to be sent, and where.
    fn wanted(&self, told: &Value, request: &Request) -> Option<Answer> {
        let host = request.header("host")?;
        let storage = host.replace("127.0.0.1", "localhost");
        let objects = told["objects"].as_array()?.iter().map(|object| {
            let hash = object["oid"].as_str().unwrap_or_default();
            let mut object = object.clone();
            if !self.sent.contains_key(hash) {
                object["actions"] = json!({
                    "upload": {
                        "href": format!("http://{storage}/upload/{hash}"),
                        "header": {"X-Signed": hash},
                    },
                    "verify": {"href": format!("http://{host}/verify")},
                });
            }
            object
        });
        let objects = objects.collect::<Vec<Value>>();
        let answer = json!({"transfer": "basic", "objects": objects});
        Some(Answer::of(200, answer.to_string()))
    }

    /// Takes a large file as its storage does, which must not see the token.
    fn take(&mut self, hash: &str, request: &Request) -> Answer {
        if request.header("authorization").is_some() {
            return Answer::of(400, "two ways to authorize");
        }
        if self.lost_uploads > 0 {
            self.lost_uploads -= 1;
            return Answer::of(503, "");
        }
        let is_signed = request.header("x-signed") == Some(hash);
        if request.method != "PUT" || !is_signed || sha256(&request.body) != hash {
            return Answer::of(400, "not what was announced");
        }
        self.sent.insert(hash.to_owned(), request.body.clone());
        Answer::of(200, "")
    }

    /// Adds the files that the lines of a commit name.
    fn commit(&mut self, repository: &str, lines: &str) -> Option<Answer> {
        let files = self.files.get_mut(repository)?;
        for line in lines.lines() {
            let told: Value = serde_json::from_str(line).ok()?;
            let value = &told["value"];
            let content = match told["key"].as_str()? {
                "header" if value["summary"].is_string() => continue,
                "file" => STANDARD.decode(value["content"].as_str()?).ok()?,
                "lfsFile" => self.sent.get(value["oid"].as_str()?)?.clone(),
                _ => return None,
            };
            files.insert(value["path"].as_str()?.to_owned(), content);
        }
        let url = format!("https://hub/{repository}/commit/{COMMIT}");
        Some(Answer::of(200, json!({"commitUrl": url}).to_string()))
    }
}

/// Which files are large ones.
fn plans(told: &Value) -> Option<Answer> {
    let files = told["files"].as_array()?.iter().map(|file| {
        let is_large = file["size"]
            .as_u64()
            .is_some_and(|size| size >= LARGE as u64);
        let mode = if is_large { "lfs" } else { "regular" };
        json!({"path": file["path"], "uploadMode": mode, "shouldIgnore": false})
    });
    let files = files.collect::<Vec<Value>>();
    Some(Answer::of(200, json!({"files": files}).to_string()))
}
