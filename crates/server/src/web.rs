//! The web app inside this program: what `web/app/dist` held when it was built. Without that folder the server is a server alone.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use rust_embed::RustEmbed;
use tertulia_gateway::web::{File, WebApp};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/app/dist"]
#[allow_missing = true]
struct Dist;

/// Ending of a file that is another one in Brotli.
const BROTLI: &str = ".br";

pub fn app() -> WebApp {
    let plain = Dist::iter().filter(|path| !path.ends_with(BROTLI));
    let files = plain.filter_map(|path| Some((path.to_string(), file(&path)?)));
    WebApp::new(files.collect::<BTreeMap<_, _>>())
}

fn file(path: &str) -> Option<File> {
    let file = Dist::get(path)?;
    let hash = file.metadata.sha256_hash().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let brotli = Dist::get(&format!("{path}{BROTLI}")).map(|packed| bytes(packed.data));
    Some(File { bytes: bytes(file.data), brotli, hash })
}

fn bytes(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    }
}
