//! The OpenAPI document is a promise: it is kept beside the code and changes only on purpose.

use std::path::Path;

use lifesign_server::api;

/// Writes the document anew with `UPDATE_GOLDEN=1`, and compares it without.
#[test]
fn the_openapi_document_is_the_one_in_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut now = serde_json::to_string_pretty(&api::document()).unwrap();
    now.push('\n');
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        kept == now,
        "docs/openapi.json is not what the server says; if the change is wanted: \
         UPDATE_GOLDEN=1 cargo nextest run -p lifesign-server the_openapi_document"
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = api::document();
    let text = document.to_string();
    let mut seen = 0;
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        seen += 1;
    }
    assert!(seen > 30, "{seen} references");
}
