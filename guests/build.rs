//! Hands the linker script to the linker, by absolute path, so that the guests link from any folder.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| String::from("."));
    println!("cargo:rerun-if-changed=link.ld");
    // The code is position independent as the target compiles it (small code model); `-pie` makes the linker
    // list the few absolute addresses in data, and the start code adds the load address to each.
    for argument in ["-pie", "--no-dynamic-linker", "-znotext", "-zmax-page-size=4096"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-T{folder}/link.ld");
}
