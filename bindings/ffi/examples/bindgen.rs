//! Writes the files of the other languages from the built library: `bindgen LIBRARY FOLDER`. An example, because what only examples need is not built
//! for phones. `cargo xtask bindings` calls it.

use anyhow::{Context as _, Result, bail};
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, folder] = arguments.as_slice() else { bail!("bindgen LIBRARY FOLDER") };
    write(library, folder)
}

pub fn write(library: &str, folder: &str) -> Result<()> {
    for (name, language) in
        [("kotlin", TargetLanguage::Kotlin), ("swift", TargetLanguage::Swift), ("python", TargetLanguage::Python)]
    {
        generate(GenerateOptions {
            languages: vec![language],
            source: library.into(),
            out_dir: format!("{folder}/{name}").into(),
            config_override: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/uniffi.toml").into()),
            ..GenerateOptions::default()
        })
        .with_context(|| format!("{name} from {library}"))?;
    }
    Ok(())
}
