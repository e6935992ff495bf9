//! Style sheet, scripts and icons, inside the binary.
//!
//! All of them live under one address that carries a digest of their contents, so browsers may keep them
//! for ever and still never run a page of one version with a script of another.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

#[derive(RustEmbed)]
#[folder = "src/web/assets"]
struct Assets;

/// What stands between `/assets/` and a file's name: changes with any of the files.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Assets::iter().collect();
    names.sort();
    let mut digest = Sha256::new();
    for name in names {
        digest.update(name.as_bytes());
        digest.update(Assets::get(&name).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});

/// The address of an asset.
pub(super) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`. An address of another version is refused: its page is outdated too.
pub(super) async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    match Assets::get(&name).filter(|_| version == *VERSION) {
        Some(file) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(media_type(&name))),
                (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
            ];
            (headers, file.data.into_owned()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_has_a_media_type_a_browser_accepts() {
        assert!(Assets::iter().count() >= 6);
        for name in Assets::iter() {
            assert_ne!(media_type(&name), "application/octet-stream", "{name}");
        }
    }

    #[tokio::test]
    async fn only_the_present_version_is_served_and_kept_for_ever() {
        let reply = serve(Path((VERSION.clone(), "app.css".to_owned()))).await;
        assert_eq!(reply.status(), StatusCode::OK);
        assert!(reply.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        for (version, name) in [("old", "app.css"), (VERSION.as_str(), "../mod.rs"), (VERSION.as_str(), "")] {
            let reply = serve(Path((version.to_owned(), name.to_owned()))).await;
            assert_eq!(reply.status(), StatusCode::NOT_FOUND, "{version} {name}");
        }
    }
}
