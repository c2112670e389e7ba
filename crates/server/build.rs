//! Builds anew when the web app has been built, or has gone.

fn main() {
    println!("cargo::rerun-if-changed=../../web/app/dist");
}
