//! Where glibc looks up the names of hosts and users.

/// Makes a program that is linked statically look names up in files and DNS alone. For other services of
/// `/etc/nsswitch.conf`, such as `myhostname` or `systemd`, glibc loads libraries of the system, and the process crashes if they
/// are of another glibc than its own. Call it before there are threads. In other programs it does nothing.
#[cfg_attr(
    all(target_env = "gnu", target_feature = "crt-static"),
    expect(unsafe_code, reason = "glibc has no other way; the call sets what later look-ups use")
)]
pub(crate) fn use_files_and_dns() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    {
        use std::ffi::{CStr, c_char, c_int};

        const SERVICES: [(&CStr, &CStr); 2] = [(c"hosts", c"files dns"), (c"passwd", c"files")];

        unsafe extern "C" {
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }

        for (database, services) in SERVICES {
            // SAFETY: both are strings that end with a zero, and glibc copies what it keeps.
            unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        }
    }
}
