//! Writes the JavaScript side of the module, and the module as it is to be loaded: `bindgen MODULE.wasm FOLDER`. An example, because as a development
//! dependency the tool is of the workspace's own version, and of no weight to anybody else.

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(module), Some(folder)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("bindgen MODULE.wasm FOLDER");
    };
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(module)
        .out_name("tertulia")
        .web(true)?
        .typescript(false)
        // By default `init` would not know where the module lies.
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
}
