//! The command: everything is in the library's `cli` module.

/// Parsing makes millions of small pieces on several threads, which the system's allocator takes long for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    keytrail::cli::main()
}
