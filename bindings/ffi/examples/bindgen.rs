//! Writes the files of the other languages from the built library: `bindgen LIBRARY FOLDER`. An example, because only so the generator is not built
//! for every phone. `cargo xtask bindings` calls it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, folder] = arguments.as_slice() else { bail!("bindgen LIBRARY FOLDER") };
    for (name, language) in
        [("kotlin", TargetLanguage::Kotlin), ("swift", TargetLanguage::Swift), ("python", TargetLanguage::Python)]
    {
        let out = Path::new(folder).join(name);
        generate(GenerateOptions {
            languages: vec![language],
            source: library.into(),
            out_dir: out.to_string_lossy().into_owned().into(),
            config_override: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/uniffi.toml").into()),
            ..GenerateOptions::default()
        })
        .with_context(|| format!("{name} from {library}"))?;
    }
    Ok(())
}
