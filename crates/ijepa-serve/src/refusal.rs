//! Why a request gets no features.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;
use thiserror::Error;

/// An answer without features.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("the request cannot be read: {0}")]
    Unread(String),
    #[error("the form cannot be read: {0}")]
    Form(String),
    #[error("the request has no image")]
    Empty,
    #[error("the request did not arrive within {0} s")]
    Late(u64),
    #[error("the request has more than {0} bytes")]
    Bytes(usize),
    #[error("the request has more than {0} images")]
    Images(usize),
    #[error("image `{name}` of {width} x {height} has more than {most} pixels")]
    Pixels {
        name: String,
        width: u32,
        height: u32,
        most: u64,
    },
    #[error(
        "`{0}` is no image of a kind that is read (JPEG, PNG, GIF, BMP, PNM, WebP, TIFF, arrays of NumPy)"
    )]
    NoImage(String),
    #[error("{0}")]
    Damaged(String),
    #[error("the image could not be decoded")]
    Decoder,
    #[error("there are POST /embed, GET /healthz and GET /metrics")]
    Path,
    #[error("POST images to /embed, GET the other paths")]
    Method,
    #[error("too many requests are under way")]
    Busy,
    #[error("the service is stopping")]
    Stopping,
    #[error("the model failed; the error output of the service says why")]
    Failed,
    #[error("the features are not finite")]
    NotFinite,
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unread(_) | Self::Form(_) | Self::Empty => StatusCode::BAD_REQUEST,
            Self::Late(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Bytes(_) | Self::Images(_) | Self::Pixels { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoImage(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Damaged(_) | Self::Decoder => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed | Self::NotFinite => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(json!({ "error": self.to_string() }))).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, soon);
        }
        response
    }
}
