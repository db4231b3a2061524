//! What the hub says while it is sent something.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// How the hub keeps files.
#[derive(Deserialize)]
pub(super) struct Plans {
    pub(super) files: Vec<Plan>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    pub(super) path: String,
    pub(super) upload_mode: String,
}

#[derive(Deserialize)]
pub(super) struct Objects {
    pub(super) objects: Vec<Object>,
}

/// What is to be done about a large file.
#[derive(Deserialize)]
pub(super) struct Object {
    pub(super) oid: String,
    pub(super) actions: Option<Actions>,
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Actions {
    pub(super) upload: Option<Action>,
    pub(super) verify: Option<Action>,
}

#[derive(Deserialize)]
pub(super) struct Action {
    pub(super) href: String,
    #[serde(default)]
    pub(super) header: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Committed {
    pub(super) commit_url: String,
}
