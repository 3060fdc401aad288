//! Gives the program the compiler, the target and the commit, which `tarsy-db --version --verbose` shows.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name| std::env::var(name).unwrap_or_default();
    let compiler = Command::new(variable("RUSTC")).arg("--version").output();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    println!("cargo:rustc-env=TARSY_DB_COMPILER={compiler}");
    println!("cargo:rustc-env=TARSY_DB_TARGET={}", variable("TARGET"));
    if let Some(commit) = packaged_commit() {
        println!("cargo:rustc-env=TARSY_DB_PACKAGED_COMMIT={commit}");
    }
}

/// The commit of a package of the registry, in which `cargo package` writes it.
fn packaged_commit() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    rest.get(..12).map(str::to_owned)
}
