//! The binary. Its code is in the library, so that tests can use it.

fn main() -> std::process::ExitCode {
    tarsy_db::main()
}
