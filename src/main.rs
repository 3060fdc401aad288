//! The binary. All of it is in the library, so that tests reach it.

fn main() -> std::process::ExitCode {
    tarsy_db::main()
}
